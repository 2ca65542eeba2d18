"""Conan 2 recipe: the headers, or with -o compiled=True also the library that they can be linked to.

What greentrainer needs comes from the system: conan create packaging/conan says which Debian packages are missing.
"""

import os
import re

from conan import ConanFile
from conan.tools.cmake import CMake, CMakeToolchain, cmake_layout
from conan.tools.files import copy, load
from conan.tools.system.package_manager import Apt


class Greentrainer(ConanFile):
    name = "greentrainer"
    license = "MIT"
    description = "Fine-tunes Hugging Face language models within a FLOPs budget, on pluggable backends"
    topics = ("machine-learning", "fine-tuning", "language-models", "header-only")
    settings = "os", "arch", "compiler", "build_type"
    options = {"compiled": [True, False]}
    default_options = {"compiled": False}

    @property
    def _root(self):
        return os.path.join(self.recipe_folder, os.pardir, os.pardir)

    def set_version(self):
        text = load(self, os.path.join(self._root, "CMakeLists.txt"))
        self.version = re.search(r"project\(greentrainer VERSION ([0-9.]+)", text).group(1)

    def export(self):
        copy(self, "CMakeLists.txt", self._root, os.path.join(self.export_folder, os.pardir, os.pardir))

    def export_sources(self):
        for pattern in ("CMakeLists.txt", "LICENSE", "cmake/*", "include/*", "backends/*"):
            copy(self, pattern, self._root, self.export_sources_folder)

    def layout(self):
        cmake_layout(self)

    def system_requirements(self):
        Apt(self).install(["nlohmann-json3-dev", "libpcre2-dev", "libicu-dev", "zlib1g-dev", "libssl-dev",
                           "libeigen3-dev"])

    def generate(self):
        toolchain = CMakeToolchain(self)
        for part in ("TESTS", "EXAMPLES", "BENCHMARKS", "CUDA"):
            toolchain.cache_variables[f"GREENTRAINER_{part}"] = False
        toolchain.cache_variables["GREENTRAINER_COMPILED"] = bool(self.options.compiled)
        toolchain.generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure()
        if self.options.compiled:
            cmake.build()

    def package(self):
        CMake(self).install()

    def package_id(self):
        if not self.info.options.compiled:
            self.info.clear()

    def package_info(self):
        # The project's own CMake package and pkg-config files are used, not ones of Conan's making.
        self.cpp_info.set_property("cmake_find_mode", "none")
        self.cpp_info.builddirs = [os.path.join("lib", "cmake", "greentrainer")]
        self.cpp_info.libdirs = ["lib"] if self.options.compiled else []
        self.cpp_info.bindirs = []
