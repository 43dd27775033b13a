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
  // The call is not allowed now: a put outside a step, a step inside a step.
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

// One output of a simulation, open on every rank of a communicator.
typedef struct swae_session swae_session;

// How a session works. Zero means the default; all ranks pass the same.
typedef struct {
  // sizeof(swae_options), so that the struct can grow.
  size_t size;
  // A swae_mode.
  int32_t mode;
  // A swae_latents.
  int32_t latents;
  // Name of a built-in model or path of a model file; NULL for "gr-16".
  const char *model;
  // Threads that encode on this rank; 0 for the rank's share of the node's cores.
  int32_t threads;
  // Of the modes with a bound: steps from one keyframe to the next; 1 for no step that leans on another, 0 for 16.
  int32_t keyframe_every;
  // The bound of the modes that have one.
  double bound;
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
} swae_field;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Opens an output: `.h5` is written as parallel HDF5, `.bp` as ADIOS2 BP5; an existing file is replaced.
// Collective over `comm`, which is duplicated.
//
// `*session` is set even where the call fails (unless memory or arguments do not allow it): swae_last_error then
// says why, and swae_close frees it. Close every session before MPI_Finalize.
//
// # Safety
// `comm` is a communicator of an initialised MPI, `path` a string, `options` NULL or valid, `session` valid.
swae_status swae_open(MPI_Comm comm,
                      const char *path,
                      const swae_options *options,
                      swae_session **session);

// Begins an output step. Collective: all ranks pass the same. Numbers of steps rise.
//
// # Safety
// `session` is an open session.
swae_status swae_begin_step(swae_session *session, int64_t step, double time);

// Hands over one box of a field: it is encoded now, and its memory is free again when the call returns. Not
// collective. Several boxes of a field are several calls; ranks without boxes call nothing. After an error call
// swae_end_step all the same: the step fails there on all ranks, and the session goes on.
//
// # Safety
// `session` is an open session, `field` valid, and its data as large as it says.
swae_status swae_put(swae_session *session,
                     const swae_field *field);

// Ends the step: it is written by all ranks, or, where anything is wrong on any rank, by none; then all ranks get the
// same error. Collective.
//
// # Safety
// `session` is an open session.
swae_status swae_end_step(swae_session *session);

// Closes the output and frees the session, in any case. Collective. NULL is allowed.
//
// # Safety
// `session` is NULL or came from swae_open, and is not used again.
swae_status swae_close(swae_session *session);

// What went wrong in the last failed call on this session; it belongs to the session and stays until the next failure.
// Empty where nothing failed.
//
// # Safety
// `session` is NULL or came from swae_open.
const char *swae_last_error(const swae_session *session);

// The library's version, "major.minor.patch".
const char *swae_version(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SWAE_H */
