# find_package(swae): the imported target swae::swae. Works from the source tree (after `make build`) and from an
# installation, where this file lies in PREFIX/lib/cmake/swae.
include(CMakeFindDependencyMacro)
find_dependency(MPI COMPONENTS C)

find_path(swae_INCLUDE_DIR swae.h
  HINTS "${CMAKE_CURRENT_LIST_DIR}/../include" "${CMAKE_CURRENT_LIST_DIR}/../../../include" NO_DEFAULT_PATH)
find_library(swae_LIBRARY swae
  HINTS "${CMAKE_CURRENT_LIST_DIR}/../target/release" "${CMAKE_CURRENT_LIST_DIR}/../.." NO_DEFAULT_PATH)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(swae REQUIRED_VARS swae_LIBRARY swae_INCLUDE_DIR)

if(swae_FOUND AND NOT TARGET swae::swae)
  add_library(swae::swae UNKNOWN IMPORTED)
  set_target_properties(swae::swae PROPERTIES
    IMPORTED_LOCATION "${swae_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${swae_INCLUDE_DIR}"
    INTERFACE_LINK_LIBRARIES MPI::MPI_C)
endif()
