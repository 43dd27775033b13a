! tests/c/effort.c in Fortran: the same bytes.
program effort_of_fortran
  use mpi_f08
  use swae
  use, intrinsic :: iso_fortran_env, only: real64, int64
  implicit none
  type(swae_session) :: out
  real(real64) :: a(40, 32, 24)
  character(len=256) :: path, number, settings
  integer :: x, y, z, effort, status

  do z = 0, 23
    do y = 0, 31
      do x = 0, 39
        a(x + 1, y + 1, z + 1) = 1.0_real64 / (40 + (x - 17)**2 + 2 * (y - 9)**2 + 3 * (z - 5)**2)
      end do
    end do
  end do
  call get_command_argument(1, path)
  call get_command_argument(2, number)
  call get_command_argument(3, settings)
  read (number, *) effort
  call MPI_Init()
  call swae_open(out, MPI_COMM_WORLD, trim(path), status, settings=trim(settings), effort=effort)
  call swae_begin_step(out, 0_int64, 0.0_real64)
  call swae_put(out, 'phi', a, shape=[40, 32, 24])
  call swae_end_step(out, status)
  call swae_close(out)
  call MPI_Finalize()
  if (status /= SWAE_OK) stop 1
end program effort_of_fortran
