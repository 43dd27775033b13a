! SPDX-License-Identifier: MIT OR Apache-2.0

!> @file swae.f90
!> @brief swae for Fortran: a module over swae.h, which describes every function and option.
!>
!> A module is compiled by the compiler that uses it: add this file to the program, or link the
!> CMake target swae::fortran. No procedure stops the program. Each returns a status, which is
!> optional where swae_end_step returns the error too; swae_message is the message of the last
!> failed call. Indices of grids count from 0, as in C.
module swae
  use, intrinsic :: iso_c_binding
  use, intrinsic :: iso_fortran_env, only: real32, real64, int64
  use mpi_f08, only: MPI_Comm
  implicit none
  private

  public :: swae_open, swae_begin_step, swae_put, swae_end_step, swae_flush, swae_close, &
    swae_message
  public :: swae_reader_open, swae_reader_steps, swae_reader_step, swae_reader_read, swae_reader_close

  !> Statuses: swae_status.
  integer, parameter, public :: SWAE_OK = 0, SWAE_ERROR_ARGUMENT = 1, SWAE_ERROR_STATE = 2, SWAE_ERROR_MODEL = 3, &
    SWAE_ERROR_IO = 4, SWAE_ERROR_MISMATCH = 5, SWAE_ERROR_UNSUPPORTED = 6, SWAE_ERROR_INTERNAL = 7, &
    SWAE_ERROR_CORRUPT = 8, SWAE_ERROR_VERSION = 9, SWAE_ERROR_MEMORY = 10
  !> How fields are compressed: swae_mode.
  integer, parameter, public :: SWAE_MODE_DEFAULT = 0, SWAE_MODE_RAW = 1, SWAE_MODE_ABSOLUTE = 2, SWAE_MODE_RELATIVE = 3, &
    SWAE_MODE_POINTWISE_RELATIVE = 4, SWAE_MODE_PSNR = 5, SWAE_MODE_LATENT = 6
  !> How latents are stored: swae_latents.
  integer, parameter, public :: SWAE_LATENTS_F16 = 0, SWAE_LATENTS_F32 = 1, SWAE_LATENTS_U8 = 2
  !> How long the encoder looks for small streams: swae_effort.
  integer, parameter, public :: SWAE_EFFORT_NORMAL = 0, SWAE_EFFORT_FAST = 1, SWAE_EFFORT_BEST = 2

  !> @brief One output of a simulation, open on every rank of a communicator.
  type, public :: swae_session
    private
    type(c_ptr) :: handle = c_null_ptr
  end type

  !> @brief A file that is read.
  type, public :: swae_reader
    private
    type(c_ptr) :: handle = c_null_ptr
  end type

  !> @brief Opens an output (swae_open in swae.h). Collective.
  !>
  !> @param[inout] session           the session
  !> @param[in]  comm                a communicator of mpi_f08, or an integer of the module mpi
  !> @param[in]  path                the file: .h5 for one HDF5 file, .bp for ADIOS2 BP5
  !> @param[out] status              SWAE_OK or an error, the same on all ranks
  !> @param[in]  mode                SWAE_MODE_...; if absent, a relative bound, of 1e-4 where bound
  !>                             is absent, too
  !> @param[in]  bound               the error bound, or the dB of SWAE_MODE_PSNR
  !> @param[in]  latents             SWAE_LATENTS_...
  !> @param[in]  model               name or path of a model
  !> @param[in]  threads             threads that encode on this rank
  !> @param[in]  keyframe_interval   steps from one keyframe to the next
  !> @param[in]  config              path of a TOML file of settings
  !> @param[in]  settings            settings separated by semicolons
  !> @param[in]  effort              SWAE_EFFORT_...
  interface swae_open
    module procedure open_f08, open_integer
  end interface

  !> @brief Puts one box of a field into the step (swae_put in swae.h), or of several fields with
  !> the same box.
  !>
  !> @param[in]  session   an open session
  !> @param[in]  name      name of the field; an array of names for an array of rank 4
  !> @param[in]  a         values with indices x, y, z, ghost zones included; of rank 4, one field
  !>                       for each of the last index
  !> @param[in]  shape     points of the grid; those of the box if absent
  !> @param[in]  start     first point of the box in the grid, from 0
  !> @param[in]  ghost_lo  ghost points in memory below the box
  !> @param[in]  ghost_hi  ghost points in memory above the box
  !> @param[in]  origin    coordinates of grid point 0
  !> @param[in]  spacing   distance between grid points
  !> @param[in]  level     refinement level
  !> @param[in]  partial   whether boxes need not cover the grid
  !> @param[out] status    SWAE_OK or the error of this rank
  interface swae_put
    module procedure put_real32, put_real64, put_all_real32, put_all_real64
  end interface

  !> @brief Reads the region of a field that has the shape of an array (swae_reader_read in swae.h).
  !>
  !> @param[in]    reader  an open reader
  !> @param[in]    index   index of the step, from 0
  !> @param[in]    name    name of the field
  !> @param[inout] a       the values, of the file's type
  !> @param[in]    start   first point of the region in the grid, from 0
  !> @param[out]   status  SWAE_OK or an error
  interface swae_reader_read
    module procedure read_real32, read_real64
  end interface

  !> @brief Message of the last failed call on a session or a reader.
  !>
  !> @return the message; empty where no call failed
  interface swae_message
    module procedure message_of_session, message_of_reader
  end interface

  type, bind(c) :: c_options
    integer(c_size_t) :: size
    integer(c_int32_t) :: mode, latents
    type(c_ptr) :: model
    integer(c_int32_t) :: threads, keyframe_interval
    real(c_double) :: bound
    type(c_ptr) :: config, settings
    integer(c_int64_t) :: memory
    integer(c_int32_t) :: asynchronous, append
    type(c_ptr) :: devices
    integer(c_int32_t) :: effort, reserved
  end type

  type, bind(c) :: c_field
    integer(c_size_t) :: size
    type(c_ptr) :: name
    integer(c_int32_t) :: dtype, order
    type(c_ptr) :: data
    integer(c_size_t) :: shape(3), start(3), count(3), ghost_lo(3), ghost_hi(3)
    integer(c_intptr_t) :: stride(3)
    real(c_double) :: origin(3), spacing(3)
    integer(c_int32_t) :: level, partial
  end type

  interface
    integer(c_int) function c_open(comm, path, options, session) bind(c, name='swae_open_fortran')
      import
      integer(c_int), value :: comm
      type(c_ptr), value :: path
      type(c_options), intent(in) :: options
      type(c_ptr), intent(out) :: session
    end function
    integer(c_int) function c_begin_step(session, step, time) bind(c, name='swae_begin_step')
      import
      type(c_ptr), value :: session
      integer(c_int64_t), value :: step
      real(c_double), value :: time
    end function
    integer(c_int) function c_put(session, field) bind(c, name='swae_put')
      import
      type(c_ptr), value :: session
      type(c_field), intent(in) :: field
    end function
    integer(c_int) function c_end_step(session) bind(c, name='swae_end_step')
      import
      type(c_ptr), value :: session
    end function
    integer(c_int) function c_flush(session) bind(c, name='swae_flush')
      import
      type(c_ptr), value :: session
    end function
    integer(c_int) function c_close(session) bind(c, name='swae_close')
      import
      type(c_ptr), value :: session
    end function
    type(c_ptr) function c_last_error(session) bind(c, name='swae_last_error')
      import
      type(c_ptr), value :: session
    end function
    integer(c_int) function c_reader_open(path, reader) bind(c, name='swae_reader_open')
      import
      type(c_ptr), value :: path
      type(c_ptr), intent(out) :: reader
    end function
    integer(c_int) function c_reader_steps(reader, count) bind(c, name='swae_reader_steps')
      import
      type(c_ptr), value :: reader
      integer(c_size_t), intent(out) :: count
    end function
    integer(c_int) function c_reader_step(reader, index, step, time, fields) bind(c, name='swae_reader_step')
      import
      type(c_ptr), value :: reader
      integer(c_size_t), value :: index
      integer(c_int64_t), intent(out) :: step
      real(c_double), intent(out) :: time
      integer(c_size_t), intent(out) :: fields
    end function
    integer(c_int) function c_reader_read(reader, index, field) bind(c, name='swae_reader_read')
      import
      type(c_ptr), value :: reader
      integer(c_size_t), value :: index
      type(c_field), intent(in) :: field
    end function
    type(c_ptr) function c_reader_error(reader) bind(c, name='swae_reader_error')
      import
      type(c_ptr), value :: reader
    end function
    subroutine c_reader_close(reader) bind(c, name='swae_reader_close')
      import
      type(c_ptr), value :: reader
    end subroutine
    integer(c_size_t) function c_strlen(text) bind(c, name='strlen')
      import
      type(c_ptr), value :: text
    end function
  end interface

contains

  subroutine open_f08(session, comm, path, status, mode, bound, latents, model, threads, keyframe_interval, config, settings, &
    effort)
    type(swae_session), intent(inout) :: session
    type(MPI_Comm), intent(in) :: comm
    character(len=*), intent(in) :: path
    integer, intent(out) :: status
    integer, intent(in), optional :: mode, latents, threads, keyframe_interval, effort
    real(real64), intent(in), optional :: bound
    character(len=*), intent(in), optional :: model, config, settings
    call open_integer(session, comm%MPI_VAL, path, status, mode, bound, latents, model, threads, keyframe_interval, config, &
      settings, effort)
  end subroutine

  subroutine open_integer(session, comm, path, status, mode, bound, latents, model, threads, keyframe_interval, config, &
    settings, effort)
    type(swae_session), intent(inout) :: session
    integer, intent(in) :: comm
    character(len=*), intent(in) :: path
    integer, intent(out) :: status
    integer, intent(in), optional :: mode, latents, threads, keyframe_interval, effort
    real(real64), intent(in), optional :: bound
    character(len=*), intent(in), optional :: model, config, settings
    character(kind=c_char), target :: c_path(len_trim(path) + 1)
    character(kind=c_char), allocatable, target :: c_model(:), c_config(:), c_settings(:)
    type(c_options) :: options
    options = c_options(0, 0, 0, c_null_ptr, 0, 0, 0, c_null_ptr, c_null_ptr, 0, 0, 0, c_null_ptr, 0, 0)
    options%size = c_sizeof(options)
    if (present(mode)) options%mode = mode
    if (present(latents)) options%latents = latents
    if (present(threads)) options%threads = threads
    if (present(keyframe_interval)) options%keyframe_interval = keyframe_interval
    if (present(effort)) options%effort = effort
    if (present(bound)) options%bound = bound
    c_path = text(path)
    if (present(model)) then
      allocate (c_model(len_trim(model) + 1))
      c_model(:) = text(model)
      options%model = c_loc(c_model)
    end if
    if (present(config)) then
      allocate (c_config(len_trim(config) + 1))
      c_config(:) = text(config)
      options%config = c_loc(c_config)
    end if
    if (present(settings)) then
      allocate (c_settings(len_trim(settings) + 1))
      c_settings(:) = text(settings)
      options%settings = c_loc(c_settings)
    end if
    status = c_open(comm, c_loc(c_path), options, session%handle)
  end subroutine

  !> @brief Begins an output step. Collective: all ranks pass the same step and time.
  !>
  !> @param[in]  session  an open session
  !> @param[in]  step     number of the step, greater than that of the previous one; where it is the
  !>                      same, this step replaces that one, unless `repeat` in the settings says
  !>                      otherwise
  !> @param[in]  time     time of the step
  !> @param[out] status   SWAE_OK, or the error of an earlier step in the background
  subroutine swae_begin_step(session, step, time, status)
    type(swae_session), intent(in) :: session
    integer(int64), intent(in) :: step
    real(real64), intent(in) :: time
    integer, intent(out), optional :: status
    call set(status, c_begin_step(session%handle, step, time))
  end subroutine

  !> @brief Ends the step: it is written by all ranks, or, where any rank had an error, by none.
  !> Collective.
  !>
  !> @param[in]  session  an open session
  !> @param[out] status   SWAE_OK, or the same error on all ranks
  subroutine swae_end_step(session, status)
    type(swae_session), intent(in) :: session
    integer, intent(out) :: status
    status = c_end_step(session%handle)
  end subroutine

  !> @brief Waits until all steps that have ended are in the file. Collective.
  !>
  !> @param[in]  session  an open session
  !> @param[out] status   SWAE_OK, or the first error that no call has returned yet
  subroutine swae_flush(session, status)
    type(swae_session), intent(in) :: session
    integer, intent(out), optional :: status
    call set(status, c_flush(session%handle))
  end subroutine

  !> @brief Closes the output and frees the session. Collective.
  !>
  !> @param[inout] session  the session
  !> @param[out]   status   SWAE_OK, or the first error that no call has returned yet
  subroutine swae_close(session, status)
    type(swae_session), intent(inout) :: session
    integer, intent(out), optional :: status
    call set(status, c_close(session%handle))
    session%handle = c_null_ptr
  end subroutine

  subroutine put_real32(session, name, a, shape, start, ghost_lo, ghost_hi, origin, spacing, level, partial, status)
    type(swae_session), intent(in) :: session
    character(len=*), intent(in) :: name
    real(real32), intent(in), target :: a(:, :, :)
    integer, intent(in), optional :: shape(3), start(3), ghost_lo(3), ghost_hi(3), level
    real(real64), intent(in), optional :: origin(3), spacing(3)
    logical, intent(in), optional :: partial
    integer, intent(out), optional :: status
    character(kind=c_char), target :: c_name(len_trim(name) + 1)
    type(c_field) :: f
    c_name = text(name)
    f = field(c_loc(c_name), 0, 4, int(ubound(a)), addresses_real32(a), &
      shape, start, ghost_lo, ghost_hi, origin, spacing, level, partial)
    call set(status, c_put(session%handle, f))
  end subroutine

  subroutine put_real64(session, name, a, shape, start, ghost_lo, ghost_hi, origin, spacing, level, partial, status)
    type(swae_session), intent(in) :: session
    character(len=*), intent(in) :: name
    real(real64), intent(in), target :: a(:, :, :)
    integer, intent(in), optional :: shape(3), start(3), ghost_lo(3), ghost_hi(3), level
    real(real64), intent(in), optional :: origin(3), spacing(3)
    logical, intent(in), optional :: partial
    integer, intent(out), optional :: status
    character(kind=c_char), target :: c_name(len_trim(name) + 1)
    type(c_field) :: f
    c_name = text(name)
    f = field(c_loc(c_name), 1, 8, int(ubound(a)), addresses_real64(a), &
      shape, start, ghost_lo, ghost_hi, origin, spacing, level, partial)
    call set(status, c_put(session%handle, f))
  end subroutine

  subroutine put_all_real32(session, names, a, shape, start, ghost_lo, ghost_hi, origin, spacing, level, partial, status)
    type(swae_session), intent(in) :: session
    character(len=*), intent(in) :: names(:)
    real(real32), intent(in), target :: a(:, :, :, :)
    integer, intent(in), optional :: shape(3), start(3), ghost_lo(3), ghost_hi(3), level
    real(real64), intent(in), optional :: origin(3), spacing(3)
    logical, intent(in), optional :: partial
    integer, intent(out), optional :: status
    integer :: v, found, first
    first = SWAE_OK
    if (size(names) /= size(a, 4)) first = SWAE_ERROR_ARGUMENT
    do v = 1, min(size(names), size(a, 4))
      call put_real32(session, trim(names(v)), a(:, :, :, v), shape, start, ghost_lo, ghost_hi, origin, spacing, level, &
        partial, found)
      if (first == SWAE_OK) first = found
    end do
    call set(status, first)
  end subroutine

  subroutine put_all_real64(session, names, a, shape, start, ghost_lo, ghost_hi, origin, spacing, level, partial, status)
    type(swae_session), intent(in) :: session
    character(len=*), intent(in) :: names(:)
    real(real64), intent(in), target :: a(:, :, :, :)
    integer, intent(in), optional :: shape(3), start(3), ghost_lo(3), ghost_hi(3), level
    real(real64), intent(in), optional :: origin(3), spacing(3)
    logical, intent(in), optional :: partial
    integer, intent(out), optional :: status
    integer :: v, found, first
    first = SWAE_OK
    if (size(names) /= size(a, 4)) first = SWAE_ERROR_ARGUMENT
    do v = 1, min(size(names), size(a, 4))
      call put_real64(session, trim(names(v)), a(:, :, :, v), shape, start, ghost_lo, ghost_hi, origin, spacing, level, &
        partial, found)
      if (first == SWAE_OK) first = found
    end do
    call set(status, first)
  end subroutine

  !> @brief Opens a file for reading.
  !>
  !> @param[inout] reader  the reader
  !> @param[in]    path    the file: .h5, .bp, .swae, .npy or .vti
  !> @param[out]   status  SWAE_OK or an error
  subroutine swae_reader_open(reader, path, status)
    type(swae_reader), intent(inout) :: reader
    character(len=*), intent(in) :: path
    integer, intent(out) :: status
    character(kind=c_char), target :: c_path(len_trim(path) + 1)
    c_path = text(path)
    status = c_reader_open(c_loc(c_path), reader%handle)
  end subroutine

  !> @brief Number of steps in the file.
  !>
  !> @param[in]  reader  an open reader
  !> @param[out] count   the number of steps
  !> @param[out] status  SWAE_OK or an error
  subroutine swae_reader_steps(reader, count, status)
    type(swae_reader), intent(in) :: reader
    integer, intent(out) :: count
    integer, intent(out), optional :: status
    integer(c_size_t) :: found
    integer :: result_of_call
    found = 0
    result_of_call = c_reader_steps(reader%handle, found)
    count = int(found)
    call set(status, result_of_call)
  end subroutine

  !> @brief Number and time of a step.
  !>
  !> @param[in]  reader  an open reader
  !> @param[in]  index   index of the step, from 0
  !> @param[out] step    the number that the simulation gave it
  !> @param[out] time    its time
  !> @param[out] status  SWAE_OK or an error
  subroutine swae_reader_step(reader, index, step, time, status)
    type(swae_reader), intent(in) :: reader
    integer, intent(in) :: index
    integer(int64), intent(out) :: step
    real(real64), intent(out) :: time
    integer, intent(out), optional :: status
    integer(c_size_t) :: fields
    step = -1
    time = 0
    call set(status, c_reader_step(reader%handle, int(index, c_size_t), step, time, fields))
  end subroutine

  subroutine read_real32(reader, index, name, a, start, status)
    type(swae_reader), intent(in) :: reader
    integer, intent(in) :: index
    character(len=*), intent(in) :: name
    real(real32), intent(inout), target :: a(:, :, :)
    integer, intent(in), optional :: start(3)
    integer, intent(out) :: status
    character(kind=c_char), target :: c_name(len_trim(name) + 1)
    c_name = text(name)
    status = c_reader_read(reader%handle, int(index, c_size_t), &
      field(c_loc(c_name), 0, 4, int(ubound(a)), addresses_real32(a), start=start))
  end subroutine

  subroutine read_real64(reader, index, name, a, start, status)
    type(swae_reader), intent(in) :: reader
    integer, intent(in) :: index
    character(len=*), intent(in) :: name
    real(real64), intent(inout), target :: a(:, :, :)
    integer, intent(in), optional :: start(3)
    integer, intent(out) :: status
    character(kind=c_char), target :: c_name(len_trim(name) + 1)
    c_name = text(name)
    status = c_reader_read(reader%handle, int(index, c_size_t), &
      field(c_loc(c_name), 1, 8, int(ubound(a)), addresses_real64(a), start=start))
  end subroutine

  !> @brief Closes the file and frees the reader.
  !>
  !> @param[inout] reader  the reader
  subroutine swae_reader_close(reader)
    type(swae_reader), intent(inout) :: reader
    call c_reader_close(reader%handle)
    reader%handle = c_null_ptr
  end subroutine

  ! Addresses of an array's first value and of its neighbour along each axis, from which the strides
  ! follow.
  function addresses_real32(a) result(addresses)
    real(real32), intent(in), target :: a(:, :, :)
    type(c_ptr) :: addresses(4)
    addresses = c_null_ptr
    if (size(a) == 0) return
    addresses = c_loc(a(1, 1, 1))
    if (size(a, 1) > 1) addresses(2) = c_loc(a(2, 1, 1))
    if (size(a, 2) > 1) addresses(3) = c_loc(a(1, 2, 1))
    if (size(a, 3) > 1) addresses(4) = c_loc(a(1, 1, 2))
  end function

  function addresses_real64(a) result(addresses)
    real(real64), intent(in), target :: a(:, :, :)
    type(c_ptr) :: addresses(4)
    addresses = c_null_ptr
    if (size(a) == 0) return
    addresses = c_loc(a(1, 1, 1))
    if (size(a, 1) > 1) addresses(2) = c_loc(a(2, 1, 1))
    if (size(a, 2) > 1) addresses(3) = c_loc(a(1, 2, 1))
    if (size(a, 3) > 1) addresses(4) = c_loc(a(1, 1, 2))
  end function

  function field(name, dtype, bytes, extent, addresses, shape, start, ghost_lo, ghost_hi, origin, spacing, level, partial) result(f)
    type(c_ptr), intent(in) :: name, addresses(4)
    integer, intent(in) :: dtype, bytes, extent(3)
    integer, intent(in), optional :: shape(3), start(3), ghost_lo(3), ghost_hi(3), level
    real(real64), intent(in), optional :: origin(3), spacing(3)
    logical, intent(in), optional :: partial
    type(c_field) :: f
    integer(c_intptr_t) :: first
    integer :: axis
    f%size = c_sizeof(f)
    f%name = name
    f%dtype = dtype
    f%order = 0
    f%data = addresses(1)
    f%ghost_lo = 0
    f%ghost_hi = 0
    f%start = 0
    f%origin = 0
    f%spacing = 0
    f%level = 0
    f%partial = 0
    if (present(ghost_lo)) f%ghost_lo = ghost_lo
    if (present(ghost_hi)) f%ghost_hi = ghost_hi
    if (present(start)) f%start = start
    if (present(origin)) f%origin = origin
    if (present(spacing)) f%spacing = spacing
    if (present(level)) f%level = level
    if (present(partial)) f%partial = merge(1, 0, partial)
    f%count = extent - f%ghost_lo - f%ghost_hi
    f%shape = f%count
    if (present(shape)) f%shape = shape
    first = transfer(addresses(1), first)
    do axis = 1, 3
      f%stride(axis) = (transfer(addresses(axis + 1), first) - first) / bytes
      ! Along an axis of one point any stride will do.
      if (f%stride(axis) == 0) f%stride(axis) = 1
    end do
  end function

  subroutine set(status, found)
    integer, intent(out), optional :: status
    integer(c_int), intent(in) :: found
    if (present(status)) status = found
  end subroutine

  ! A string that ends with NUL, without trailing blanks.
  function text(fortran) result(c)
    character(len=*), intent(in) :: fortran
    character(kind=c_char) :: c(len_trim(fortran) + 1)
    integer :: i
    do i = 1, len_trim(fortran)
      c(i) = fortran(i:i)
    end do
    c(size(c)) = c_null_char
  end function

  function message_of_session(session) result(message)
    type(swae_session), intent(in) :: session
    character(len=:), allocatable :: message
    message = from_c(c_last_error(session%handle))
  end function

  function message_of_reader(reader) result(message)
    type(swae_reader), intent(in) :: reader
    character(len=:), allocatable :: message
    message = from_c(c_reader_error(reader%handle))
  end function

  function from_c(c) result(fortran)
    type(c_ptr), intent(in) :: c
    character(len=:), allocatable :: fortran
    character(kind=c_char), pointer :: bytes(:)
    integer :: i
    call c_f_pointer(c, bytes, [c_strlen(c)])
    allocate (character(len=size(bytes)) :: fortran)
    do i = 1, size(bytes)
      fortran(i:i) = bytes(i)
    end do
  end function
end module swae
