// SPDX-License-Identifier: MIT OR Apache-2.0
//
// swae: compresses the fields of a running simulation, from every MPI rank, at every output step.
//
// Life cycle: swae_open, then for each output step swae_begin_step, one swae_put per box and field, swae_end_step;
// at the end swae_close, before MPI_Finalize. Generated from src/capi by cbindgen; do not edit.

#ifndef SWAE_H
#define SWAE_H

#include <mpi.h>
#include <stddef.h>
#include <stdint.h>

// What a call came to. The numbers never change.
typedef enum {
  // It worked.
  SWAE_OK = 0,
  // An argument says something impossible: a null pointer, a shape, a name.
  SWAE_ERROR_ARGUMENT = 1,
  // The call is not allowed now: a put outside a step, a step inside a step, anything after the close, or while another thread
  // is inside a call with the same handle.
  SWAE_ERROR_STATE = 2,
  // The model is not known, or its file is damaged.
  SWAE_ERROR_MODEL = 3,
  // The file cannot be made or written.
  SWAE_ERROR_IO = 4,
  // The ranks do not agree on the fields of a step, or boxes overlap or leave holes.
  SWAE_ERROR_DISAGREEMENT = 5,
  // This build, or the path's ending, does not allow it.
  SWAE_ERROR_UNSUPPORTED = 6,
  // A defect of the library; the message says where.
  SWAE_ERROR_INTERNAL = 7,
} swae_status;

// Types of values.
typedef enum {
  // IEEE binary32: C's float, Fortran's real32.
  SWAE_FLOAT32 = 0,
  // IEEE binary64: C's double, Fortran's real64.
  SWAE_FLOAT64 = 1,
} swae_dtype;

// Which axis runs fastest in memory.
typedef enum {
  // x: Fortran's a(nx, ny, nz), C's a[i + nx*(j + ny*k)].
  SWAE_ORDER_FORTRAN = 0,
  // z: C's `double a[nx][ny][nz]`.
  SWAE_ORDER_C = 1,
} swae_order;

// How fields are coded.
typedef enum {
  // The latents of a model: a fixed rate, no error bound.
  SWAE_MODE_LATENT = 0,
  // The values as they are.
  SWAE_MODE_RAW = 1,
  // |decoded - true| <= bound, everywhere.
  SWAE_MODE_ABSOLUTE = 2,
  // |decoded - true| <= bound * (greatest - least value of the field, on all ranks, in the step). Values wait in a copy for
  // the end of the step.
  SWAE_MODE_RELATIVE = 3,
  // |decoded - true| <= bound * |true|, everywhere.
  SWAE_MODE_POINTWISE_RELATIVE = 4,
  // At least bound dB of peak signal-to-noise ratio; copies as SWAE_MODE_RELATIVE does.
  SWAE_MODE_PSNR = 5,
} swae_mode;

// How latents are stored.
typedef enum {
  // IEEE binary16.
  SWAE_LATENTS_F16 = 0,
  // IEEE binary32.
  SWAE_LATENTS_F32 = 1,
  // 256 levels.
  SWAE_LATENTS_U8 = 2,
} swae_latents;

// What goes on while the simulation computes.
typedef enum {
  // Nothing: a step is in the file when swae_end_step returns.
  SWAE_ASYNCHRONOUS_OFF = 0,
  // A step is copied, encoded in the background, and written by the next swae_begin_step or swae_close. MPI and the store are
  // called inside the program's calls only.
  SWAE_ASYNCHRONOUS_CODING = 1,
  // A step is copied, and encoded and written in the background, by a thread that calls MPI and the store (HDF5, ADIOS2): the
  // program must not use that store's library outside these calls, unless it was built to be used from many threads. Needs
  // MPI_THREAD_MULTIPLE; without it as SWAE_ASYNCHRONOUS_CODING.
  SWAE_ASYNCHRONOUS_WRITING = 2,
} swae_asynchronous;

// How much is told.
typedef enum {
  // Nothing: the default.
  SWAE_LOG_NOTHING = 0,
  // What went wrong.
  SWAE_LOG_ERROR = 1,
  // What somebody should look at.
  SWAE_LOG_WARNING = 2,
  // What happens.
  SWAE_LOG_INFO = 3,
  // For those who work on swae.
  SWAE_LOG_DEBUG = 4,
} swae_log_level;

// A file that is read: .h5, .bp, .swae, .npy or .vti.
typedef struct swae_reader swae_reader;

// One output of a simulation, open on every rank of a communicator.
typedef struct swae_session swae_session;

// Takes a message: its swae_log_level, its text, and the pointer that swae_set_log was given. Called from any thread.
typedef void (*swae_log_callback)(int32_t level, const char *text, void *user);

// How a session works. Zero means the default; all ranks pass the same.
typedef struct {
  // sizeof(swae_options), so that the struct can grow.
  size_t size;
  // A swae_mode.
  int32_t mode;
  // A swae_latents.
  int32_t latents;
  // Name of a built-in model or path of a model file; NULL for "gr-16". A model that weighs predictions ("gr-mixture") makes
  // series within a bound smaller, and slower; an autoencoder is for latents.
  const char *model;
  // Threads that encode on this rank; 0 for a share of the node's cores that goes by the rank's share of the work.
  int32_t threads;
  // Of the modes with a bound: steps from one keyframe to the next; 1 for no step that leans on another, 0 for 16.
  int32_t keyframe_interval;
  // The bound of the modes that have one.
  double bound;
  // Path of a TOML file, whose settings count before those above; NULL for none. It has the keys mode ("latent", "raw",
  // "abs", "rel", "pwrel", "psnr", "off"), bound, latents ("f16", "f32", "u8"), keyframe_interval, every (each so many-th step
  // alone), levels (a list), model, threads, asynchronous ("off", "coding", "writing"), memory, append (true), devices, couple (true: fields
  // within a bound lean on other fields of their step, which is smaller; who reads one of them decodes those too), layout ("streams",
  // or "datasets": fields as ordinary HDF5 datasets behind the filter), and a table [fields.NAME] of
  // the first six for each field, or pattern of fields, that is to be coded otherwise.
  const char *config;
  // More settings, which count before all others, one behind each semicolon: "mode = rel; bound = 1e-4; fields.chi.bound =
  // 1e-6". NULL for none.
  const char *settings;
  // Bytes of values that this rank copies at most for steps in the background; 0 for 2^30. What goes beyond waits for earlier
  // steps, and is encoded inside swae_put where that is not enough.
  uint64_t memory;
  // A swae_asynchronous.
  int32_t asynchronous;
  // Not 0: a file of this name is not replaced but continued, as after a restart. Its steps before the first one of this
  // session are kept, later ones are dropped.
  int32_t append;
  // The devices of a node that encode: "auto", "cpu", "cpu:N" for the cores as N devices, "cuda" or "cuda:0,1" for GPUs by the
  // CUDA driver's numbers; NULL for "auto", the cores. GPUs run the encoder of SWAE_MODE_LATENT, the cores all else. The ranks
  // of a node share them by the work that each has. The file is the same on all.
  const char *devices;
} swae_options;

// One rank's box of a field. Every triple is x, y, z; zero means the default.
//
// `data` points at the first value of the memory, ghost zones included.
typedef struct {
  // sizeof(swae_field), so that the struct can grow.
  size_t size;
  // Name of the field: letters, digits, '_', '-', '+', '.'.
  const char *name;
  // A swae_dtype.
  int32_t dtype;
  // A swae_order; it counts where the strides are left 0.
  int32_t order;
  // The values. They are read during the call only.
  const void *data;
  // Points of the whole grid.
  size_t shape[3];
  // First point of this box in the grid.
  size_t start[3];
  // Points of this box, without ghost zones. A box without points is allowed.
  size_t count[3];
  // Ghost points in memory before the box along each axis.
  size_t ghost_lo[3];
  // Ghost points in memory behind the box along each axis.
  size_t ghost_hi[3];
  // Distance in values between neighbours; all 0 for a contiguous array.
  ptrdiff_t stride[3];
  // Coordinates of the grid's point 0.
  double origin[3];
  // Distance between points; all 0 for 1.
  double spacing[3];
  // Level of refinement; the grid is this level's. In the file the field of a level above 0 is called name@level.
  int32_t level;
  // Not 0: boxes need not cover the grid; where none lies, readers give NaN. Above level 0 they never need.
  int32_t partial;
} swae_field;

// One of the boxes of a swae_layout, as in swae_field.
typedef struct {
  // First point of the box in the grid.
  size_t start[3];
  // Points of the box, without ghost zones.
  size_t count[3];
  // Ghost points in memory before the box along each axis.
  size_t ghost_lo[3];
  // Ghost points in memory behind the box along each axis.
  size_t ghost_hi[3];
  // Distance in values between neighbours; all 0 for a contiguous array.
  ptrdiff_t stride[3];
} swae_box;

// A rank's boxes on one level, described once for all fields that live on them; as in swae_field.
typedef struct {
  // sizeof(swae_layout), so that the struct can grow.
  size_t size;
  // The boxes.
  const swae_box *boxes;
  // How many.
  size_t box_count;
  // sizeof(swae_box), so that the struct can grow.
  size_t box_size;
  // Points of the whole grid.
  size_t shape[3];
  // Coordinates of the grid's point 0.
  double origin[3];
  // Distance between points; all 0 for 1.
  double spacing[3];
  // Level of refinement.
  int32_t level;
  // Not 0: boxes need not cover the grid.
  int32_t partial;
  // A swae_order; it counts where a box's strides are left 0.
  int32_t order;
} swae_layout;

// What a session has done so far, on this rank. Times are seconds.
typedef struct {
  // sizeof(swae_statistics), so that the struct can grow.
  size_t size;
  // Steps that are in the file.
  uint64_t steps;
  // Bytes of the values that were handed over and not left out.
  uint64_t raw_bytes;
  // Bytes of the streams in the file.
  uint64_t stored_bytes;
  // Threads that encode.
  uint64_t threads;
  // Time that the program spent inside the calls of this session.
  double inside;
  // Time that encoding took, in whichever thread.
  double encoding;
  // Time that the ranks took to agree on steps, in whichever thread, waiting for one another included.
  double communication;
  // Time that writing took, in whichever thread, waiting for one another included.
  double writing;
} swae_statistics;

// What went wrong in a call without a session, as text that ends with NUL.
typedef struct {
  // Empty where nothing went wrong.
  char text[512];
} swae_message;

// What a file says of a field of a step.
typedef struct {
  // sizeof(swae_field_info), set by the caller, so that the struct can grow.
  size_t size;
  // Its name, with @level behind it above level 0. It belongs to the reader, as `encoding` does.
  const char *name;
  // How it is coded, for people: "rel 1e-4", "latent gr-16 f16", "raw".
  const char *encoding;
  // A swae_dtype.
  int32_t dtype;
  // Not 0 where boxes need not cover the grid.
  int32_t partial;
  // Points of the grid along x, y, z.
  size_t shape[3];
  // Coordinates of point 0.
  double origin[3];
  // Distance between points.
  double spacing[3];
  // Bytes that it takes in the file.
  uint64_t stored_bytes;
} swae_field_info;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The library's version, "major.minor.patch".
const char *swae_version(void);

// The version of the streams that this library writes, and the newest that it reads.
uint32_t swae_format_version(void);

// Whether this build has a feature: "hdf5", "adios2", "mpi", "cuda". 0 also where nobody knows the name.
//
// # Safety
// `feature` is NULL or a string.
int32_t swae_has(const char *feature);

// Where messages go, up to a swae_log_level; NULL for nowhere, as at the start. The library never prints.
//
// # Safety
// The callback and `user` may be used from any thread until another call replaces them; the callback does not call
// swae_set_log.
swae_status swae_set_log(swae_log_callback callback,
                         void *user,
                         int32_t level);

// Opens an output: `.h5` is written as parallel HDF5, `.bp` as ADIOS2 BP5; an existing file is replaced, unless the options
// say append.
// Collective over `comm`, which is duplicated.
//
// `*session` is set even where the call fails (unless memory or arguments do not allow it): swae_last_error then
// says why, and swae_close frees it. Close every session before MPI_Finalize.
//
// # Safety
// `comm` is MPI_COMM_NULL, which is an error, or valid, `path` a string, `options` NULL or valid, `session` valid.
swae_status swae_open(MPI_Comm comm,
                      const char *path,
                      const swae_options *options,
                      swae_session **session);

// As swae_open, for Fortran: `comm` is an integer, as `use mpi` has it.
//
// # Safety
// That of swae_open.
swae_status swae_open_fortran(int32_t comm,
                              const char *path,
                              const swae_options *options,
                              swae_session **session);

// Begins an output step. Collective: all ranks pass the same. Numbers of steps rise.
//
// Where an earlier step has failed in the background, all ranks get its error here, and the new step is begun all the same.
//
// # Safety
// `session` is an open session.
swae_status swae_begin_step(swae_session *session,
                            int64_t step,
                            double time);

// Hands over one box of a field: it is encoded or copied now, and its memory is free again when the call returns. Not
// collective. Several boxes of a field are several calls; ranks without boxes call nothing. After an error call
// swae_end_step all the same: the step fails there on all ranks, and the session goes on.
//
// # Safety
// `session` is an open session, `field` valid, and its data as large as it says.
swae_status swae_put(swae_session *session,
                     const swae_field *field);

// As swae_put, of many boxes at once: a field on all boxes of a layout, whose values lie at `data[0]`, `data[1]` …
// Boxes of one call share a stream and what is learned of the field, which small ones need; as long as the layout stays the
// same from step to step, they also lean on the step before.
//
// # Safety
// `session` is an open session, `name` a string, `layout` valid, `data` a pointer for each of its boxes, to values as many as
// the box says.
swae_status swae_put_boxes(swae_session *session,
                           const char *name,
                           int32_t dtype,
                           const swae_layout *layout,
                           const void *const *data);

// Ends the step: it is written by all ranks, or, where anything is wrong on any rank, by none; then all ranks get the
// same error. Collective. Where steps go on in the background, this returns at once; what became of the step is told in the
// next one, by swae_begin_step and once more by this function, or by swae_close.
//
// # Safety
// `session` is an open session.
swae_status swae_end_step(swae_session *session);

// Waits until all steps that have ended are in the file: where steps go on in the background, the program may want to be sure,
// as before a checkpoint. Collective, between steps. Tells the first error that no call has told yet.
//
// # Safety
// `session` is an open session.
swae_status swae_flush(swae_session *session);

// What has been done so far.
//
// # Safety
// `session` is an open session, `statistics` valid, its size set.
swae_status swae_get_statistics(swae_session *session, swae_statistics *statistics);

// Closes the output and frees the session, in any case. Collective. NULL is allowed. Steps in the background are finished
// first. The message of a failure is gone with the session: it goes to the log. Whoever uses the handle again, even to close
// it, gets SWAE_ERROR_STATE.
//
// # Safety
// `session` is NULL or came from swae_open.
swae_status swae_close(swae_session *session);

// What went wrong in the last failed call on this session; it belongs to the session and stays until the next failure.
// Empty where nothing failed.
//
// # Safety
// `session` is NULL or came from swae_open.
const char *swae_last_error(const swae_session *session);

// Bytes that swae_compress never exceeds for this field; 0 where the field says something impossible.
//
// # Safety
// `field` is NULL or valid; its data are not read.
size_t swae_compress_bound(const swae_field *field);

// Compresses a box into `out`, by the options (NULL for the default). Of the field, `shape` and `start` do not matter; a
// relative bound is one of the box's own range. Threads of the options: 0 for all cores.
//
// # Safety
// `field` is valid and its data as large as it says, `options` NULL or valid, `out` has `capacity` bytes, `length` is valid,
// `message` NULL or valid.
swae_status swae_compress(const swae_field *field,
                          const swae_options *options,
                          void *out,
                          size_t capacity,
                          size_t *length,
                          swae_message *message);

// What a stream holds: a swae_dtype, and the points of its box along x, y, z.
//
// # Safety
// `stream` has `length` bytes; `dtype`, `count` and `message` are NULL or valid.
swae_status swae_stream_shape(const void *stream,
                              size_t length,
                              int32_t *dtype,
                              size_t (*count)[3],
                              swae_message *message);

// Decompresses a stream into the memory that `field` describes: `data`, `dtype`, `count` as in the stream, ghost zones,
// order and strides as in swae_put; ghost zones are left alone. `model` is the path of the model's file where the stream
// needs one that is not built in, or NULL.
//
// # Safety
// `stream` has `length` bytes, `model` is NULL or a string, `field` is valid and its memory can be written, `message` is NULL
// or valid.
swae_status swae_decompress(const void *stream,
                            size_t length,
                            const char *model,
                            const swae_field *field,
                            swae_message *message);

// Opens a file. `*reader` is set even where that fails: swae_reader_error then says why, and swae_reader_close frees it.
//
// # Safety
// `path` is a string, `reader` valid.
swae_status swae_reader_open(const char *path,
                             swae_reader **reader);

// How many steps the file holds.
//
// # Safety
// `reader` is open, `count` valid.
swae_status swae_reader_steps(swae_reader *reader, size_t *count);

// Of the step at an index, which counts from 0: the number and the time that the simulation gave it, and how many fields it
// has.
//
// # Safety
// `reader` is open; `step`, `time` and `fields` are NULL or valid.
swae_status swae_reader_step(swae_reader *reader,
                             size_t index,
                             int64_t *step,
                             double *time,
                             size_t *fields);

// What a step says of one of its fields; `field` counts from 0. They are sorted by name.
//
// # Safety
// `reader` is open, `info` valid, and its size set.
swae_status swae_reader_field(swae_reader *reader, size_t index, size_t field, swae_field_info *info);

// The boxes that a field of a step was written in: how many, and, where `boxes` is not NULL, up to `capacity` of them, with
// start and count alone.
//
// # Safety
// `reader` is open, `field` a string, `count` valid, `boxes` NULL or room for `capacity` boxes.
swae_status swae_reader_boxes(swae_reader *reader,
                              size_t index,
                              const char *field,
                              swae_box *boxes,
                              size_t capacity,
                              size_t *count);

// Reads a region of a field of a step: `name` (with @level, or `level` set), `dtype` as in the file, `start` and `count` in
// the grid; `data`, ghost zones, order and strides say where its values go, as in swae_put. What no box covers is NaN.
// Steps read one after the other are decoded once each.
//
// # Safety
// `reader` is open, `field` valid, and its memory can be written.
swae_status swae_reader_read(swae_reader *reader,
                             size_t index,
                             const swae_field *field);

// What went wrong in the last failed call on this reader; it belongs to the reader and stays until the next failure.
//
// # Safety
// `reader` is NULL or came from swae_reader_open.
const char *swae_reader_error(const swae_reader *reader);

// Closes the file and frees the reader. NULL is allowed. Whoever uses the handle again gets SWAE_ERROR_STATE.
//
// # Safety
// `reader` is NULL or came from swae_reader_open.
void swae_reader_close(swae_reader *reader);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SWAE_H */
