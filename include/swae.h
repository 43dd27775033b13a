// SPDX-License-Identifier: MIT OR Apache-2.0

/// @file swae.h
/// @brief swae compresses the fields of a running simulation, from every MPI rank, at every output
/// step.
///
/// Writing: swae_open, then for each output step swae_begin_step, one swae_put per box and field,
/// swae_end_step; at the end swae_close, before MPI_Finalize. Reading: swae_reader_open,
/// swae_reader_step, swae_reader_field, swae_reader_read, swae_reader_close. Arrays in memory:
/// swae_compress, swae_decompress.
///
/// Shapes, positions and strides are x, y, z. Members that are 0 take the default, so a struct is
/// best zeroed before it is filled in. Structs begin with their size: set it to sizeof the struct.
/// Later versions add members at the end, and a program and a library of different versions go by
/// the members that both know. What an older program does not know is 0; a member that is not 0 and
/// that an older library does not know is SWAE_ERROR_UNSUPPORTED; one that an older library cannot
/// fill in is set to 0. A call on a session that all ranks must make is said to be collective: its
/// errors are those of all ranks. Strings are UTF-8 and end with NUL. Pointers that may be NULL say
/// so.
///
/// Generated from src/capi by cbindgen; do not edit.

#ifndef SWAE_H
#define SWAE_H

#include <mpi.h>
#include <stddef.h>
#include <stdint.h>

/// @brief Result of a call. The numbers never change.
typedef enum {
  /// Success.
  SWAE_OK = 0,
  /// An argument is invalid: a null pointer, a shape, a name.
  SWAE_ERROR_ARGUMENT = 1,
  /// The call is not allowed now: a put outside a step, a step inside a step, any call after the
  /// close, or while another thread is inside a call with the same handle.
  SWAE_ERROR_STATE = 2,
  /// The model is unknown, or its file is damaged.
  SWAE_ERROR_MODEL = 3,
  /// The file cannot be created, read or written.
  SWAE_ERROR_IO = 4,
  /// Ranks, fields or boxes do not fit together: ranks pass different arguments, boxes overlap or
  /// leave gaps.
  SWAE_ERROR_MISMATCH = 5,
  /// This build, or the extension of the path, does not support it.
  SWAE_ERROR_UNSUPPORTED = 6,
  /// An internal error of the library; the message says where.
  SWAE_ERROR_INTERNAL = 7,
  /// A file or a stream is damaged, or is not one of swae.
  SWAE_ERROR_CORRUPT = 8,
  /// A file or a stream has a format version that this library does not read.
  SWAE_ERROR_VERSION = 9,
  /// The memory that the call needs is not to be had.
  SWAE_ERROR_MEMORY = 10,
} swae_status;

/// @brief Types of values.
typedef enum {
  /// IEEE binary32: C's float, Fortran's real32.
  SWAE_FLOAT32 = 0,
  /// IEEE binary64: C's double, Fortran's real64.
  SWAE_FLOAT64 = 1,
} swae_dtype;

/// @brief Which axis is contiguous in memory.
typedef enum {
  /// x: Fortran's a(nx, ny, nz), C's a[i + nx*(j + ny*k)].
  SWAE_ORDER_FORTRAN = 0,
  /// z: C's `double a[nx][ny][nz]`.
  SWAE_ORDER_C = 1,
} swae_order;

/// @brief How fields are compressed.
typedef enum {
  /// As SWAE_MODE_RELATIVE; where bound is 0, too, with a bound of 1e-4.
  SWAE_MODE_DEFAULT = 0,
  /// Uncompressed values.
  SWAE_MODE_RAW = 1,
  /// |decoded - true| <= bound, at every point. With a bound of 0 every value comes back to the
  /// bit; the other modes do not take 0.
  SWAE_MODE_ABSOLUTE = 2,
  /// |decoded - true| <= bound * value range of the field (max - min over all ranks, in the
  /// step, on its level; `range = field` in the settings takes all levels). Values are copied and
  /// encoded at the end of the step, where the range is known.
  SWAE_MODE_RELATIVE = 3,
  /// |decoded - true| <= bound * |true|, at every point.
  SWAE_MODE_POINTWISE_RELATIVE = 4,
  /// Peak signal-to-noise ratio of at least bound dB; values are copied as with
  /// SWAE_MODE_RELATIVE.
  SWAE_MODE_PSNR = 5,
  /// Latents of an autoencoder: fixed rate, no error bound.
  SWAE_MODE_LATENT = 6,
} swae_mode;

/// @brief How latents are stored.
typedef enum {
  /// IEEE binary16.
  SWAE_LATENTS_F16 = 0,
  /// IEEE binary32.
  SWAE_LATENTS_F32 = 1,
  /// 256 quantisation levels.
  SWAE_LATENTS_U8 = 2,
} swae_latents;

/// @brief How long the encoder looks for small streams within a bound. The bound is verified at
/// each, and readers need not know which it was.
typedef enum {
  /// The best candidates are tried.
  SWAE_EFFORT_NORMAL = 0,
  /// By estimates alone: faster, and somewhat larger.
  SWAE_EFFORT_FAST = 1,
  /// All candidates are tried, and fields are predicted from one another, unless settings say that
  /// they are not: smaller, and slower.
  SWAE_EFFORT_BEST = 2,
} swae_effort;

/// @brief Which work continues in the background while the simulation computes.
typedef enum {
  /// None: a step is in the file when swae_end_step returns.
  SWAE_ASYNCHRONOUS_OFF = 0,
  /// Steps are copied, encoded in the background, and written by the next swae_begin_step or
  /// swae_close. MPI and the I/O library (HDF5, ADIOS2) are called inside the program's calls
  /// only.
  SWAE_ASYNCHRONOUS_ENCODE = 1,
  /// Steps are copied, and encoded and written in the background by a thread that calls MPI and
  /// the I/O library: the program must not use that library outside these calls unless it is
  /// thread-safe. Needs MPI_THREAD_MULTIPLE; without it, the same as SWAE_ASYNCHRONOUS_ENCODE.
  SWAE_ASYNCHRONOUS_WRITE = 2,
} swae_asynchronous;

/// @brief Which messages are logged.
typedef enum {
  /// None: the default.
  SWAE_LOG_OFF = 0,
  /// Failures.
  SWAE_LOG_ERROR = 1,
  /// Failures, and what needs attention.
  SWAE_LOG_WARNING = 2,
  /// Also normal operation.
  SWAE_LOG_INFO = 3,
  /// Also details for developers of swae.
  SWAE_LOG_DEBUG = 4,
} swae_log_level;

/// @brief A file that is read: .h5, .bp, .swae, .npy or .vti. A handle is used by one thread at a
/// time.
typedef struct swae_reader swae_reader;

/// @brief One output of a simulation, open on every rank of a communicator. A handle is used by one
/// thread at a time.
typedef struct swae_session swae_session;

/// @brief Receives a log message. It may be called from any thread.
///
/// @param level  a swae_log_level
/// @param text   the message, valid during the call only
/// @param user   the pointer that was passed to swae_set_log
typedef void (*swae_log_callback)(int32_t level, const char *text, void *user);

/// @brief Options of a session. Zero means the default; all ranks pass the same.
///
/// docs/settings.md describes every setting. The keys of `config` and `settings` are mode, bound,
/// latents, model, fill, effort, keyframe_interval, every, levels, threads, devices, inter_field,
/// append, storage, asynchronous and memory; a table [fields.NAME], or fields.NAME.KEY, sets those
/// of single fields.
typedef struct {
  /// sizeof(swae_options).
  size_t size;
  /// A swae_mode.
  int32_t mode;
  /// A swae_latents.
  int32_t latents;
  /// Name of a built-in model or path of a model file; NULL for "gr-16". An autoencoder is for
  /// latents. A mixing network ("gr-mixture") makes error-bounded series smaller, and slower.
  const char *model;
  /// Threads that encode on this rank; 0 divides the node's cores among its ranks in proportion
  /// to their work.
  int32_t threads;
  /// Error-bounded modes: steps from one keyframe to the next; 1 for no temporal prediction, 0
  /// for 16.
  int32_t keyframe_interval;
  /// The error bound, or the dB of SWAE_MODE_PSNR; 0 where config or settings give it.
  double bound;
  /// Path of a TOML file, whose settings override the members above; NULL for none.
  const char *config;
  /// Settings that override all others, separated by semicolons: "mode = rel; bound = 1e-4;
  /// fields.chi.bound = 1e-6". NULL for none.
  const char *settings;
  /// The most bytes of values that this rank copies for steps in the background; 0 for 2^30.
  /// Beyond that, swae_put waits for earlier steps, and encodes in place where that is not
  /// enough.
  uint64_t memory;
  /// A swae_asynchronous.
  int32_t asynchronous;
  /// Not 0: an existing file is continued, as after a restart, not replaced. Its steps before the
  /// first one of this session are kept, later ones are dropped.
  int32_t append;
  /// The devices of a node that encode: "auto", "cpu", "cpu:N" for the cores as N devices, "cuda"
  /// or "cuda:0,1" for GPUs by the CUDA driver's numbers; NULL for "auto", the cores. GPUs run
  /// the encoder of SWAE_MODE_LATENT, the cores all else. Each rank's device share is in
  /// proportion to its work. The file is the same on all devices.
  const char *devices;
  /// A swae_effort.
  int32_t effort;
  /// Must be 0.
  int32_t reserved;
} swae_options;

/// @brief One rank's box of a field.
///
/// Every triple is x, y, z; zero means the default.
typedef struct {
  /// sizeof(swae_field).
  size_t size;
  /// Name of the field: 1 to 255 bytes of UTF-8, any characters. Files hold it escaped where they
  /// must, and readers give it back as it is.
  const char *name;
  /// A swae_dtype.
  int32_t dtype;
  /// A swae_order; used where all strides are 0.
  int32_t order;
  /// First value of the memory, ghost zones included. Read during the call only.
  const void *data;
  /// Points of the whole grid.
  size_t shape[3];
  /// First point of this box in the grid.
  size_t start[3];
  /// Points of this box, without ghost zones. A box without points is allowed.
  size_t count[3];
  /// Ghost points in memory below the box along each axis.
  size_t ghost_lo[3];
  /// Ghost points in memory above the box along each axis.
  size_t ghost_hi[3];
  /// Distance in memory between neighbouring points, in values; all 0 for a contiguous array. One
  /// that is 0 beside others that are not is an error, unless the box is one point wide there.
  ptrdiff_t stride[3];
  /// Coordinates of grid point 0.
  double origin[3];
  /// Distance between grid points; all 0 for 1.
  double spacing[3];
  /// Refinement level; the grid is this level's. In the file the field of a level above 0 is
  /// called name@level; a name that ends like that itself is called name@0 on level 0.
  int32_t level;
  /// Not 0: boxes need not cover the grid; readers give NaN where there is none. Above level 0
  /// they never need to.
  int32_t partial;
} swae_field;

/// @brief One box of a swae_boxes; members as in swae_field.
typedef struct {
  /// First point of the box in the grid.
  size_t start[3];
  /// Points of the box, without ghost zones.
  size_t count[3];
  /// Ghost points in memory below the box along each axis.
  size_t ghost_lo[3];
  /// Ghost points in memory above the box along each axis.
  size_t ghost_hi[3];
  /// Distance in memory between neighbouring points, in values; all 0 for a contiguous array.
  ptrdiff_t stride[3];
} swae_box;

/// @brief A rank's boxes on one refinement level, described once for all fields on them; members as
/// in swae_field.
typedef struct {
  /// sizeof(swae_boxes).
  size_t size;
  /// Array of box_count boxes, box_size bytes each.
  const swae_box *boxes;
  /// Number of boxes.
  size_t box_count;
  /// sizeof(swae_box).
  size_t box_size;
  /// Points of the whole grid.
  size_t shape[3];
  /// Coordinates of grid point 0.
  double origin[3];
  /// Distance between grid points; all 0 for 1.
  double spacing[3];
  /// Refinement level.
  int32_t level;
  /// Not 0: boxes need not cover the grid.
  int32_t partial;
  /// A swae_order; used where all strides of a box are 0.
  int32_t order;
  /// Not used; 0.
  int32_t reserved;
} swae_boxes;

/// @brief Statistics of a session on this rank. Times are in seconds.
typedef struct {
  /// sizeof(swae_statistics), set by the caller.
  size_t size;
  /// Steps in the file.
  uint64_t steps;
  /// Bytes of the values that were put, without those that settings leave out.
  uint64_t raw_bytes;
  /// Bytes of the compressed streams in the file.
  uint64_t stored_bytes;
  /// Threads that encode.
  uint64_t threads;
  /// Time that the program spent inside the calls of this session.
  double inside;
  /// Time of encoding, in any thread.
  double encoding;
  /// Time of communication between the ranks, in any thread, waiting for one another included.
  double communication;
  /// Time of writing, in any thread, waiting for other ranks included.
  double writing;
  /// A swae_asynchronous: what goes on in the background, which is less than was asked for where
  /// MPI was initialised without MPI_THREAD_MULTIPLE.
  int32_t asynchronous;
  /// 0.
  int32_t reserved;
} swae_statistics;

/// @brief Error message of a call without a session.
typedef struct {
  /// The text, which ends with NUL; empty where the call succeeded.
  char text[512];
} swae_message;

/// @brief A field of a step, as the file describes it.
typedef struct {
  /// sizeof(swae_field_info), set by the caller.
  size_t size;
  /// Name of the field, followed by @level above level 0. It belongs to the reader, as `encoding`
  /// does.
  const char *name;
  /// How it is compressed, for display: "rel 1e-4", "latent gr-16 f16", "raw".
  const char *encoding;
  /// A swae_dtype.
  int32_t dtype;
  /// Not 0 where boxes need not cover the grid.
  int32_t partial;
  /// Points of the grid along x, y, z.
  size_t shape[3];
  /// Coordinates of grid point 0.
  double origin[3];
  /// Distance between grid points.
  double spacing[3];
  /// Bytes of its streams in the file.
  uint64_t stored_bytes;
} swae_field_info;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/// @brief Version of the library.
///
/// @return "major.minor.patch"; a static string
const char *swae_version(void);

/// @brief Version of the stream format.
///
/// @return the format version that this library writes, which is the newest that it reads
uint32_t swae_format_version(void);

/// @brief Queries a feature of this build.
///
/// @param feature  "hdf5", "adios2", "mpi" or "cuda"; NULL and unknown names are allowed
/// @return 1 if this build has the feature, 0 if it does not or the name is unknown
int32_t swae_has(const char *feature);

/// @brief Sets the log callback. Without one, as at the start, messages are dropped, unless SWAE_LOG
/// in the environment is error, warning, info or debug: then they go to standard error, up to that
/// level. Nothing else is ever printed.
///
/// @param callback  receives the messages until another call replaces it, from any thread; it must
///                  not call swae_set_log. NULL for none
/// @param user      passed to the callback unchanged; must be usable from any thread
/// @param level     a swae_log_level; messages above it are dropped
/// @return SWAE_OK, SWAE_ERROR_ARGUMENT where the level is invalid, SWAE_ERROR_STATE where a Rust
///         program has installed a logger of its own
swae_status swae_set_log(swae_log_callback callback, void *user, int32_t level);

/// @brief Opens an output. Collective over `comm`.
///
/// An existing file is replaced, unless the options say append. Close every session before
/// MPI_Finalize.
///
/// @param comm          a communicator, which is duplicated
/// @param path          the file: `.h5` is one HDF5 file that all ranks write, `.bp` an ADIOS2
///                      BP5 output
/// @param options       the options; NULL for the defaults, a relative bound of 1e-4
/// @param[out] session  the session; set also where the call fails (unless it is NULL):
///                      swae_last_error then says why, and swae_close frees it
/// @return SWAE_OK, or the same error on all ranks, also where one rank alone passes something wrong:
///         SWAE_ERROR_ARGUMENT, _STATE, _MODEL, _IO, _MISMATCH, _UNSUPPORTED or _MEMORY; with append
///         _CORRUPT or _VERSION where the file is damaged or a later library has written it. Where
///         MPI has not begun, or for MPI_COMM_NULL, this rank returns alone
swae_status swae_open(MPI_Comm comm, const char *path, const swae_options *options, swae_session **session);

/// @brief swae_open for Fortran.
///
/// @param comm          a communicator as an integer (MPI_Fint), as `use mpi` has it
/// @param path          as in swae_open
/// @param options       as in swae_open
/// @param[out] session  as in swae_open
/// @return as swae_open
swae_status swae_open_fortran(int32_t comm,
                              const char *path,
                              const swae_options *options,
                              swae_session **session);

/// @brief Begins an output step. Collective: all ranks pass the same step and time.
///
/// @param session  an open session
/// @param step     number of the step, greater than that of the previous one; where it is the same,
///                 this step replaces that one, unless `repeat` in the settings says otherwise
/// @param time     time of the step
/// @return SWAE_OK; where an earlier step has failed in the background, its error on all ranks: the
///         new step is begun all the same
swae_status swae_begin_step(swae_session *session, int64_t step, double time);

/// @brief Puts one box of a field into the step. Not collective.
///
/// The box is encoded or copied now: its memory may be changed when the call returns. Several boxes
/// of a field take several calls; ranks without boxes make none. After an error call swae_end_step
/// all the same: the step fails there on all ranks, and the session stays usable.
///
/// @param session  an open session, between swae_begin_step and swae_end_step
/// @param field    the box, whose data are as large as it says
/// @return SWAE_OK or the error of this rank: SWAE_ERROR_ARGUMENT, _STATE, _UNSUPPORTED or _MEMORY
swae_status swae_put(swae_session *session, const swae_field *field);

/// @brief Puts a field on many boxes at once. Not collective.
///
/// Boxes of one call share a stream and what it learns of them, which small boxes need. As long as the
/// boxes stay the same from step to step, they are also predicted from the previous step. Errors as
/// in swae_put.
///
/// @param session  an open session, between swae_begin_step and swae_end_step
/// @param name     name of the field
/// @param dtype    a swae_dtype
/// @param boxes    the boxes
/// @param data     for each box the first value of its memory, ghost zones included
/// @return SWAE_OK or the error of this rank
swae_status swae_put_boxes(swae_session *session,
                           const char *name,
                           int32_t dtype,
                           const swae_boxes *boxes,
                           const void *const *data);

/// @brief Ends the step. Collective.
///
/// The step is written by all ranks, or, where any rank had an error, by none. An asynchronous
/// session returns at once: errors of the step are then returned in the next one, by
/// swae_begin_step and once more by this function, or by swae_close.
///
/// @param session  an open session
/// @return SWAE_OK, or the same error on all ranks: the first one of a rank's swae_put or
///         swae_begin_step; SWAE_ERROR_STATE, _IO, _MISMATCH or _MEMORY; with append, in the first
///         step, _CORRUPT or _VERSION
swae_status swae_end_step(swae_session *session);

/// @brief Waits until all steps that have ended are in the file, as before a checkpoint.
/// Collective, between steps.
///
/// @param session  an open session
/// @return SWAE_OK, or the first error that no call has returned yet; SWAE_ERROR_STATE, on all ranks,
///         where a rank is inside a step
swae_status swae_flush(swae_session *session);

/// @brief Statistics of the session so far, on this rank. Not collective.
///
/// @param session             an open session
/// @param[in,out] statistics  the statistics; the caller sets its size
/// @return SWAE_OK, SWAE_ERROR_ARGUMENT or SWAE_ERROR_STATE
swae_status swae_get_statistics(swae_session *session, swae_statistics *statistics);

/// @brief Closes the output and frees the session, also where it returns an error. Collective.
///
/// Steps in the background are finished first. The message of an error goes to the log, for the
/// session is gone. Any later call with the handle returns SWAE_ERROR_STATE.
///
/// @param session  the session; NULL is allowed
/// @return SWAE_OK, or the first error that no call has returned yet; SWAE_ERROR_STATE, on all ranks,
///         where a step had not ended on a rank. NULL and a closed handle return on this rank alone
swae_status swae_close(swae_session *session);

/// @brief Message of the last failed call on a session.
///
/// @param session  the session; NULL is allowed
/// @return the message, which belongs to the session and is valid until its next failed call; empty
///         where no call failed
const char *swae_last_error(const swae_session *session);

/// @brief The largest size of a stream that swae_compress makes of a field.
///
/// @param field  the field; its data are not read
/// @return bytes; 0 where the field is NULL or invalid
size_t swae_compress_bound(const swae_field *field);

/// @brief Compresses a box into the caller's memory. It may be called from any thread.
///
/// @param field         the box, whose data are as large as it says; shape and start are ignored
/// @param options       the options, NULL for the defaults, a relative bound of 1e-4; a relative
///                      bound refers to the value range of the box, and threads = 0 means all cores
/// @param[out] out      the stream
/// @param capacity      bytes of `out`; swae_compress_bound is always enough
/// @param[out] length   bytes of the stream
/// @param[out] message  the error message; may be NULL
/// @return SWAE_OK, SWAE_ERROR_ARGUMENT, _MODEL, _UNSUPPORTED or _MEMORY
swae_status swae_compress(const swae_field *field,
                          const swae_options *options,
                          void *out,
                          size_t capacity,
                          size_t *length,
                          swae_message *message);

/// @brief Type and shape of a stream, of which the head is verified. It may be called from any
/// thread.
///
/// @param stream        the stream
/// @param length        its bytes
/// @param[out] dtype    a swae_dtype; may be NULL
/// @param[out] count    points of its box along x, y, z; may be NULL
/// @param[out] message  the error message; may be NULL
/// @return SWAE_OK; SWAE_ERROR_CORRUPT where the head is damaged or the stream is none of swae;
///         SWAE_ERROR_VERSION where a later library has written it; SWAE_ERROR_ARGUMENT where it is
///         NULL; SWAE_ERROR_UNSUPPORTED where it holds more than one box
swae_status swae_stream_shape(const void *stream,
                              size_t length,
                              int32_t *dtype,
                              size_t (*count)[3],
                              swae_message *message);

/// @brief Decompresses a stream into the caller's memory. It may be called from any thread.
///
/// @param stream        the stream
/// @param length        its bytes
/// @param model         path of a model file where the stream needs a model that is not built in;
///                      may be NULL
/// @param field         dtype and count as in the stream; data, ghost zones, order and strides
///                      describe the memory that the values are written to. Ghost zones are not
///                      written
/// @param[out] message  the error message; may be NULL
/// @return SWAE_OK; SWAE_ERROR_CORRUPT or _VERSION as swae_stream_shape; SWAE_ERROR_MODEL where the
///         model is missing or damaged; SWAE_ERROR_ARGUMENT where the field does not fit;
///         SWAE_ERROR_MEMORY
swae_status swae_decompress(const void *stream,
                            size_t length,
                            const char *model,
                            const swae_field *field,
                            swae_message *message);

/// @brief Opens a file for reading.
///
/// @param path         the file: .h5, .bp, .swae, .npy or .vti
/// @param[out] reader  the reader; set also where the call fails (unless it is NULL):
///                     swae_reader_error then says why, and swae_reader_close frees it
/// @return SWAE_OK; SWAE_ERROR_ARGUMENT; SWAE_ERROR_IO where it cannot be opened or read;
///         SWAE_ERROR_CORRUPT where it is damaged or is not what its extension says;
///         SWAE_ERROR_VERSION where a later library has written it; SWAE_ERROR_UNSUPPORTED for other
///         extensions; SWAE_ERROR_MEMORY
swae_status swae_reader_open(const char *path, swae_reader **reader);

/// @brief Number of steps in the file.
///
/// @param reader      an open reader
/// @param[out] count  the number of steps
/// @return SWAE_OK, SWAE_ERROR_ARGUMENT or SWAE_ERROR_STATE
swae_status swae_reader_steps(swae_reader *reader, size_t *count);

/// @brief Describes a step.
///
/// @param reader       an open reader
/// @param index        index of the step in the file, from 0
/// @param[out] step    the number that the simulation gave the step; may be NULL
/// @param[out] time    its time; may be NULL
/// @param[out] fields  its number of fields; may be NULL
/// @return SWAE_OK, SWAE_ERROR_ARGUMENT or SWAE_ERROR_STATE
swae_status swae_reader_step(swae_reader *reader, size_t index, int64_t *step, double *time, size_t *fields);

/// @brief Describes a field of a step.
///
/// @param reader        an open reader
/// @param index         index of the step, from 0
/// @param field         index of the field, from 0; fields are sorted by name
/// @param[in,out] info  the description; the caller sets its size
/// @return SWAE_OK, SWAE_ERROR_ARGUMENT or SWAE_ERROR_STATE
swae_status swae_reader_field(swae_reader *reader, size_t index, size_t field, swae_field_info *info);

/// @brief The boxes in which a field of a step was written.
///
/// @param reader      an open reader
/// @param index       index of the step, from 0
/// @param field       name of the field
/// @param[out] boxes  up to `capacity` boxes, of which start and count are set; may be NULL
/// @param box_size    sizeof(swae_box), the distance of two boxes
/// @param capacity    boxes that `boxes` has room for
/// @param[out] count  the number of boxes, which may exceed `capacity`
/// @return SWAE_OK, SWAE_ERROR_ARGUMENT, _STATE, _IO or _CORRUPT
swae_status swae_reader_boxes(swae_reader *reader,
                              size_t index,
                              const char *field,
                              swae_box *boxes,
                              size_t box_size,
                              size_t capacity,
                              size_t *count);

/// @brief Reads a region of a field of a step.
///
/// Steps that are read in their order are decoded once each, even where they are predicted from
/// earlier ones.
///
/// @param reader  an open reader
/// @param index   index of the step, from 0
/// @param field   name (with @level, or level set) and dtype as in the file; start and count of the
///                region in the grid; data, ghost zones, order and strides describe the memory that
///                the values are written to, as in swae_put. Points that no box covers become NaN
/// @return SWAE_OK; SWAE_ERROR_ARGUMENT; SWAE_ERROR_STATE; SWAE_ERROR_IO where the file cannot be
///         read; SWAE_ERROR_CORRUPT where it is damaged there, after which other fields can be read;
///         SWAE_ERROR_VERSION; SWAE_ERROR_MODEL where a model is missing; SWAE_ERROR_MEMORY
swae_status swae_reader_read(swae_reader *reader, size_t index, const swae_field *field);

/// @brief Message of the last failed call on a reader.
///
/// @param reader  the reader; NULL is allowed
/// @return the message, which belongs to the reader and is valid until its next failed call
const char *swae_reader_error(const swae_reader *reader);

/// @brief Closes the file and frees the reader. Any later call with the handle returns
/// SWAE_ERROR_STATE.
///
/// @param reader  the reader; NULL is allowed
void swae_reader_close(swae_reader *reader);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SWAE_H */
