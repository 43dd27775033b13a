# find_package(swae): the imported targets swae::swae (libswae.so), and, where the project has
# enabled Fortran, swae::fortran, which compiles the module with the project's own compiler. This file lies in
# PREFIX/lib/cmake/swae.
include(CMakeFindDependencyMacro)
find_dependency(MPI COMPONENTS C)

get_filename_component(swae_PREFIX "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
set(swae_INCLUDE_DIR "${swae_PREFIX}/include")

if(NOT TARGET swae::swae)
  add_library(swae::swae SHARED IMPORTED)
  set_target_properties(swae::swae PROPERTIES
    IMPORTED_LOCATION "${swae_PREFIX}/lib/libswae.so"
    IMPORTED_SONAME "libswae.so.0"
    INTERFACE_INCLUDE_DIRECTORIES "${swae_INCLUDE_DIR}"
    INTERFACE_LINK_LIBRARIES MPI::MPI_C)
endif()

get_property(swae_languages GLOBAL PROPERTY ENABLED_LANGUAGES)
if(Fortran IN_LIST swae_languages AND NOT TARGET swae::fortran)
  find_dependency(MPI COMPONENTS Fortran)
  add_library(swae_fortran STATIC "${swae_INCLUDE_DIR}/swae.f90")
  set_target_properties(swae_fortran PROPERTIES Fortran_MODULE_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}/swae_modules")
  target_include_directories(swae_fortran PUBLIC "${CMAKE_CURRENT_BINARY_DIR}/swae_modules")
  target_link_libraries(swae_fortran PUBLIC swae::swae MPI::MPI_Fortran)
  add_library(swae::fortran ALIAS swae_fortran)
endif()
