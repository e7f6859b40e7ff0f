# SPDX-License-Identifier: Apache-2.0
# Trireme for Spack 0.23 or later. Make a repository of the site's own, from the top of this
# source tree:
#
#   spack repo create ~/spack-trireme site        # prints the folder of its packages
#   mkdir -p FOLDER/trireme && cp jobs/contrib/spack/package.py FOLDER/trireme/
#   spack repo add ~/spack-trireme
#   spack install trireme@main dev_path=$PWD +cuda cuda_arch=90
#
# What was tried of it: ../../packaging.md.
try:  # Spack 1.0 took the build systems out of its core
    from spack_repo.builtin.build_systems.cmake import CMakePackage
    from spack_repo.builtin.build_systems.cuda import CudaPackage
except ImportError:
    pass

from spack.package import *


class Trireme(CMakePackage, CudaPackage):
    """Trains GPT-NeoX-style transformers the way HPC codes are run: N equal ranks of one C++
    program under MPI, in data-, tensor- and pipeline-parallel groups. HDF5 in and out.
    """

    # A site's clone; unused with dev_path.
    git = "file:///usr/local/src/trireme"

    license("Apache-2.0")

    version("main", branch="main")

    variant("nccl", default=True, when="+cuda", description="exchanges between GPUs by NCCL")
    variant("cudnn", default=True, when="+cuda", description="attention by cuDNN")
    variant("plots", default=True, description="the Python packages of trireme-plot")

    generator("ninja")
    depends_on("c", type="build")
    depends_on("cxx", type="build")
    depends_on("cmake@3.22:", type="build")

    depends_on("mpi@3.1:")
    # Each rank writes its own files, so HDF5 needs no MPI.
    depends_on("hdf5@1.10:~mpi")
    # The virtual blas isn't enough: the program asks OpenBLAS for its kernels and threads.
    depends_on("openblas@0.3.20: threads=openmp")
    depends_on("yaml-cpp@0.7:")
    depends_on("re2+shared")
    depends_on("pcre2@10.36:+jit")
    depends_on("utf8proc@2.5:")
    depends_on("fmt@9:")
    depends_on("spdlog@1.10:")
    depends_on("simdjson@3:")
    depends_on("libarchive@3.4:")
    depends_on("zlib-api")
    depends_on("libpng@1.6:")
    depends_on("libjpeg-turbo@2:")
    depends_on("liburing@2.2:", when="platform=linux")
    depends_on("xxhash@0.8:")
    depends_on("eigen@3.4:3")
    depends_on("cli11@2.1:")
    depends_on("nlohmann-json@3.11:")
    depends_on("random123@1.13.2:")
    depends_on("boost@1.71:+test+context", type="test")

    with when("+cuda"):
        depends_on("cuda@12:")
        conflicts("cuda_arch=none", msg="name the GPUs: cuda_arch=80, 90, ...")
        for old in ("50", "52", "53", "60", "61", "62", "70", "72", "75"):
            conflicts(f"cuda_arch={old}", msg="Trireme needs GPUs of compute capability 8.0")
    depends_on("nccl@2.18:", when="+nccl")
    depends_on("cudnn@9.8:", when="+cudnn")

    with when("+plots"):
        depends_on("python@3.9:", type=("build", "run"))
        depends_on("py-h5py@3:~mpi", type=("build", "run"))
        depends_on("py-numpy@1.20:", type=("build", "run"))
        depends_on("py-matplotlib@3.5:", type=("build", "run"))
    # The tests are Python scripts too.
    depends_on("python@3.9:", type="test")
    depends_on("py-h5py@3:~mpi", type="test")

    conflicts("%gcc@:10", msg="Trireme is C++20: GCC 11 or later")
    conflicts("%clang@:15", msg="Trireme is C++20: Clang 16 or later")

    def cmake_args(self):
        arguments = [
            # Spack's compiler wrapper sets -march.
            self.define("TRIREME_ARCH", ""),
            self.define("TRIREME_TESTS", self.run_tests),
            self.define_from_variant("TRIREME_CUDA", "cuda"),
        ]
        if self.spec.satisfies("+cuda"):
            arguments.append(self.define_from_variant("TRIREME_NCCL", "nccl"))
            arguments.append(
                self.define("CMAKE_CUDA_ARCHITECTURES", self.spec.variants["cuda_arch"].value)
            )
        return arguments

    def setup_run_environment(self, env):
        env.set("TRIREME_INPUTS", join_path(self.prefix.share, "trireme", "inputs"))
        # bash and fish look for completions in these folders.
        env.prepend_path("XDG_DATA_DIRS", self.prefix.share)
        env.append_path("XDG_DATA_DIRS", "/usr/local/share")
        env.append_path("XDG_DATA_DIRS", "/usr/share")

    def test_version(self):
        """the program starts and prints what it was built with"""
        trireme = which(self.prefix.bin.trireme)
        out = trireme("--version", output=str.split, error=str.split)
        expected = "CUDA no" if self.spec.satisfies("~cuda") else "cuBLAS"
        assert expected in out, out

    def test_plan(self):
        """an installed deck is planned for 8 ranks, without MPI's launcher"""
        trireme = which(self.prefix.bin.trireme)
        deck = join_path(self.prefix.share, "trireme", "inputs", "pythia-70m.yml")
        out = trireme("plan", deck, "--ranks", "8", "--set", "save=unused", output=str.split)
        check_outputs([r"memory", r"stage"], out)
