! Arrays as Fortran programs have them: sections with strides, ghosts, rank 4, single and double,
! both kinds of communicator; put by any number of ranks, read back, compared; every misuse has a
! status. Stops with 1 if anything is wrong.
program fields
  use mpi_f08
  use swae
  use, intrinsic :: iso_fortran_env, only: real32, real64, int64
  implicit none
  integer, parameter :: n = 24, g = 2
  character(len=8), parameter :: names(2) = ['chi     ', 'alpha   ']
  type(swae_session) :: out
  type(swae_reader) :: in
  real(real64), allocatable :: u(:, :, :, :), back(:, :, :)
  real(real32), allocatable :: wide(:, :, :), single(:, :, :)
  character(len=256) :: path
  integer :: rank, ranks, lo, hi, v, i, j, k, step, status, found, bad
  integer(int64) :: number
  real(real64) :: time

  bad = 0
  call MPI_Init()
  call MPI_Comm_rank(MPI_COMM_WORLD, rank)
  call MPI_Comm_size(MPI_COMM_WORLD, ranks)
  call get_command_argument(1, path)
  lo = n * rank / ranks
  hi = n * (rank + 1) / ranks
  allocate (u(1 - g:n + g, 1 - g:n + g, 1 - g:hi - lo + g, 2), wide(2 * n, n, hi - lo))
  call swae_open(out, MPI_COMM_WORLD%MPI_VAL, trim(path), status, mode=SWAE_MODE_ABSOLUTE, bound=1e-5_real64, &
    settings='fields.phi.bound = 1e-3')
  call expect(status == SWAE_OK, 'open with an integer')
  do step = 0, 2
    u = huge(1.0_real64)
    wide = -1
    do k = 1, hi - lo
      do j = 1, n
        do i = 1, n
          do v = 1, 2
            u(i, j, k, v) = truth(v, step, i, j, lo + k)
          end do
          wide(2 * i, n + 1 - j, k) = real(truth(3, step, i, j, lo + k), real32)
        end do
      end do
    end do
    call swae_begin_step(out, int(step, int64), 0.25_real64 * step, status)
    call expect(status == SWAE_OK, 'begin')
    call swae_put(out, names, u, shape=[n, n, n], start=[0, 0, lo], ghost_lo=[g, g, g], ghost_hi=[g, g, g], &
      spacing=[0.1_real64, 0.1_real64, 0.2_real64], status=status)
    call expect(status == SWAE_OK, 'put of rank 4')
    ! Every second point along x, and y backwards.
    call swae_put(out, 'phi', wide(2::2, n:1:-1, :), shape=[n, n, n], start=[0, 0, lo], status=status)
    call expect(status == SWAE_OK, 'put of a section')
    call swae_end_step(out, status)
    if (status /= SWAE_OK) print '(a)', swae_message(out)
    call expect(status == SWAE_OK, 'end of a step')
  end do
  ! Every misuse has a status, on all ranks, and the session stays usable.
  call swae_end_step(out, status)
  call expect(status == SWAE_ERROR_STATE .and. index(swae_message(out), 'without begin_step') > 0, 'end without begin')
  call swae_begin_step(out, 9_int64, 9.0_real64)
  if (rank == 0) call swae_put(out, 'chi', u(:, :, :, 1), shape=[n, n, n], start=[n, 0, 0])
  call swae_end_step(out, status)
  call expect(status == SWAE_ERROR_ARGUMENT .and. index(swae_message(out), "field 'chi'") > 0, 'a box outside')
  call swae_begin_step(out, 10_int64, 10.0_real64)
  call swae_put(out, names(:1), u, shape=[n, n, n], status=status)
  call expect(status == SWAE_ERROR_ARGUMENT, 'fewer names than fields')
  call swae_end_step(out, status)
  call expect(status /= SWAE_OK, 'the end of that step')
  call every_misuse()
  call swae_close(out, status)
  call expect(status == SWAE_OK, 'close')
  call swae_begin_step(out, 90_int64, 0.0_real64, status)
  call expect(status == SWAE_ERROR_ARGUMENT, 'a step after the close')
  call swae_end_step(out, status)
  call expect(status == SWAE_ERROR_ARGUMENT, 'the end of a step after the close')
  call swae_close(out, status)
  call expect(status == SWAE_OK, 'a second close')
  call swae_open(out, MPI_COMM_NULL, trim(path), status)
  call expect(status == SWAE_ERROR_ARGUMENT .and. index(swae_message(out), 'MPI_COMM_NULL') > 0, 'no communicator')
  call swae_close(out)
  call swae_open(out, MPI_COMM_WORLD, 'no/such/folder/a.h5', status)
  call expect(status == SWAE_ERROR_IO .and. index(swae_message(out), 'does not exist') > 0, 'no folder')
  call swae_close(out)
  call swae_open(out, MPI_COMM_WORLD, trim(path), status, settings='mod = rel')
  call expect(status == SWAE_ERROR_ARGUMENT .and. index(swae_message(out), "did you mean 'mode'") > 0, 'unknown option')
  call swae_close(out)
  call MPI_Barrier(MPI_COMM_WORLD)

  call swae_reader_open(in, trim(path), status)
  call expect(status == SWAE_OK, 'open to read')
  call swae_reader_steps(in, found)
  call expect(found == 3, 'three steps')
  allocate (back(n + 1, n, n), single(5, 6, 7))
  do step = 0, 2
    call swae_reader_step(in, step, number, time)
    call expect(number == step .and. abs(time - 0.25_real64 * step) < 1e-12_real64, 'number and time')
    do v = 1, 2
      ! Into a part of an array.
      call swae_reader_read(in, step, trim(names(v)), back(2:, :, :), status=status)
      call expect(status == SWAE_OK, 'read')
      do k = 1, n
        do j = 1, n
          do i = 1, n
            if (abs(back(i + 1, j, k) - truth(v, step, i, j, k)) > 1e-5_real64) bad = bad + 1
          end do
        end do
      end do
    end do
    call swae_reader_read(in, step, 'phi', single, start=[3, 4, 5], status=status)
    call expect(status == SWAE_OK, 'read of a region')
    call expect(abs(single(2, 3, 4) - truth(3, step, 3 + 2, 4 + 3, 5 + 4)) <= 1.001e-3_real64, 'its values')
  end do
  call swae_reader_read(in, 0, 'phi', back, status=status)
  call expect(status == SWAE_ERROR_ARGUMENT, 'more than there is')
  if (status /= SWAE_OK) call expect(len(swae_message(in)) > 0, 'a message')
  call swae_reader_close(in)
  call MPI_Finalize()
  if (bad > 0) stop 1

contains

  ! Steps that are wrong, with the library's message for each; the session stays usable after every
  ! one.
  subroutine every_misuse()
    character(len=*), parameter :: cases(11) = [character(len=24) :: 'put outside a step', 'begin twice', 'step goes back', &
      'bad name', 'other shape', 'empty grid', 'impossible ghosts', 'zero spacing', 'other type', 'mismatched ranks', 'a hole']
    character(len=*), parameter :: words(11) = [character(len=32) :: 'call begin_step first', 'has not ended', &
      'does not come after', 'names have', 'in an earlier step', 'along y', 'outside the memory', 'not a usable number', &
      'in an earlier step', 'put field', 'of the grid''s']
    integer, parameter :: expected(11) = [SWAE_ERROR_STATE, SWAE_ERROR_STATE, SWAE_ERROR_STATE, SWAE_ERROR_ARGUMENT, &
      SWAE_ERROR_ARGUMENT, SWAE_ERROR_ARGUMENT, SWAE_ERROR_ARGUMENT, SWAE_ERROR_ARGUMENT, SWAE_ERROR_ARGUMENT, &
      SWAE_ERROR_MISMATCH, SWAE_ERROR_MISMATCH]
    integer :: c, put, ended
    real(real64) :: box(n, n, hi - lo)
    box = 1
    do c = 1, size(cases)
      put = SWAE_OK
      if (c > 1) call swae_begin_step(out, merge(0_int64, 20_int64 + c, c == 3), 0.0_real64, put)
      select case (c)
      case (1)
        call swae_put(out, 'chi', box, shape=[n, n, n], start=[0, 0, lo], status=put)
      case (2)
        ! The step that goes on must fail, too.
        call swae_put(out, '', box, shape=[n, n, n])
        call swae_begin_step(out, 80_int64, 0.0_real64, put)
      case (3)
      case (4)
        call swae_put(out, '', box, shape=[n, n, n], start=[0, 0, lo], status=put)
      case (5)
        call swae_put(out, 'chi', box, shape=[n, n, n + 8], start=[0, 0, lo], status=put)
      case (6)
        call swae_put(out, 'chi', box, shape=[n, 0, n], start=[0, 0, lo], status=put)
      case (7)
        call swae_put(out, 'chi', box, shape=[n, n, n], start=[0, 0, lo], ghost_lo=[n, 0, 0], ghost_hi=[1, 0, 0], status=put)
      case (8)
        call swae_put(out, 'chi', box, shape=[n, n, n], start=[0, 0, lo], spacing=[1.0_real64, 0.0_real64, 1.0_real64], &
          status=put)
      case (9)
        call swae_put(out, 'chi', real(box, real32), shape=[n, n, n], start=[0, 0, lo], status=put)
      case (10)
        if (rank == 0) call swae_put(out, 'only', box, shape=[n, n, n], start=[0, 0, lo], status=put)
        if (rank > 0) call swae_put(out, 'other', box, shape=[n, n, n], start=[0, 0, lo], status=put)
        ! There is no other rank to mismatch: the step must fail all the same.
        if (ranks == 1) call swae_put(out, '', box, shape=[n, n, n])
      case (11)
        call swae_put(out, 'chi', box(:, :, 2:), shape=[n, n, n], start=[0, 0, lo + 1], spacing=[0.1_real64, 0.1_real64, &
          0.2_real64], status=put)
      end select
      if (put /= SWAE_OK .and. .not. (c == 10)) then
        call expect(put == expected(c) .and. index(swae_message(out), trim(words(c))) > 0, trim(cases(c))//': '//swae_message(out))
      end if
      call swae_end_step(out, ended)
      if (c == 10 .and. ranks == 1) cycle
      call expect(ended /= SWAE_OK, 'the step of: '//trim(cases(c)))
      if (c >= 10) call expect(ended == expected(c) .and. index(swae_message(out), trim(words(c))) > 0, &
        trim(cases(c))//': '//swae_message(out))
    end do
  end subroutine

  real(real64) function truth(v, step, i, j, k)
    integer, intent(in) :: v, step, i, j, k
    truth = sin(0.1_real64 * (i + v)) * cos(0.15_real64 * j + 0.1_real64 * step) + 0.01_real64 * k
  end function

  subroutine expect(so, what)
    logical, intent(in) :: so
    character(len=*), intent(in) :: what
    if (.not. so) then
      print '(a, i0, 2a)', 'rank ', rank, ', not so: ', what
      bad = bad + 1
    end if
  end subroutine
end program fields
