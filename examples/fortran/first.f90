! examples/c/first.c in Fortran: the same fields, the same bytes.
program first
  use mpi_f08
  use swae
  use, intrinsic :: iso_fortran_env, only: real32, real64, int64, error_unit
  implicit none
  type(swae_session) :: out
  real(real32), allocatable :: phi(:, :, :)
  character(len=256) :: path, settings
  integer :: rank, ranks, lo, hi, step, i, j, k, status

  call MPI_Init()
  call MPI_Comm_rank(MPI_COMM_WORLD, rank)
  call MPI_Comm_size(MPI_COMM_WORLD, ranks)
  path = 'first.h5'
  if (command_argument_count() > 0) call get_command_argument(1, path)
  settings = 'mode = rel; bound = 1e-4'  ! or 'mode = latent', without a bound
  if (command_argument_count() > 1) call get_command_argument(2, settings)
  lo = 64 * rank / ranks             ! this rank's slab of a 64^3 grid
  hi = 64 * (rank + 1) / ranks
  allocate (phi(64, 64, hi - lo))
  call swae_open(out, MPI_COMM_WORLD, trim(path), status, settings=trim(settings))
  do step = 0, 1
    if (status /= SWAE_OK) exit
    do k = 1, hi - lo
      do j = 1, 64
        do i = 1, 64
          phi(i, j, k) = real((i - 1) * (64 - i) + (j - 1) * (64 - j) + (lo + k - 1) * (step + 1), real32)
        end do
      end do
    end do
    call swae_begin_step(out, int(step, int64), 0.5_real64 * step)
    call swae_put(out, 'phi', phi, shape=[64, 64, 64], start=[0, 0, lo])
    call swae_end_step(out, status)  ! returns the error of any rank on all ranks
  end do
  if (status /= SWAE_OK) write (error_unit, '(2a)') 'swae: ', swae_message(out)
  call swae_close(out)
  call MPI_Finalize()
  if (status /= SWAE_OK) stop 1
end program first
