# From a clone: spack repo add setup/spack && spack dev-build swae@main
from spack.package import *


class Swae(Package):
    """Compresses the fields of running simulations, in situ, from every MPI rank."""

    license("MIT OR Apache-2.0")

    version("main")

    variant("adios2", default=True, description="Write and read ADIOS2 BP5")

    depends_on("c", type="build")
    depends_on("cxx", type="build")
    depends_on("fortran", type="build")
    depends_on("rust@1.88:", type="build")
    depends_on("llvm+clang", type="build")  # bindgen reads mpi.h with libclang
    depends_on("pkgconfig", type="build")
    depends_on("mpi")
    depends_on("hdf5+mpi@1.10:")
    depends_on("adios2+mpi@2.10:", when="+adios2")

    def setup_build_environment(self, env):
        env.set("HDF5_DIR", self.spec["hdf5"].prefix)
        env.set("LIBCLANG_PATH", self.spec["llvm"].prefix.lib)
        if self.spec.satisfies("+adios2"):
            env.set("ADIOS2_DIR", self.spec["adios2"].prefix)

    def setup_run_environment(self, env):
        env.prepend_path("HDF5_PLUGIN_PATH", self.prefix.lib.swae.hdf5)
        if self.spec.satisfies("+adios2"):
            env.prepend_path("ADIOS2_PLUGIN_PATH", self.prefix.lib.swae.adios2)

    def install(self, spec, prefix):
        features = ["--features", "swae-capi/adios2,swae-tool/adios2,swae-adios2-plugin/adios2"] if "+adios2" in spec else []
        Executable("cargo")("build", "--release", "--locked", *features)
        Executable("setup/install.sh")(prefix)
