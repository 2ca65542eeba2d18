"""The project that uses an installed greentrainer, tests/consumer, against the package."""

import os

from conan import ConanFile
from conan.tools.build import can_run
from conan.tools.cmake import CMake, CMakeToolchain, cmake_layout


class GreentrainerTest(ConanFile):
    settings = "os", "arch", "compiler", "build_type"

    def requirements(self):
        self.requires(self.tested_reference_str)

    def layout(self):
        cmake_layout(self)

    def generate(self):
        toolchain = CMakeToolchain(self)
        folder = self.dependencies["greentrainer"].package_folder
        toolchain.cache_variables["greentrainer_DIR"] = os.path.join(folder, "lib", "cmake", "greentrainer")
        toolchain.cache_variables["CONSUMER_TRAINER"] = False
        toolchain.generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure(build_script_folder=os.path.join(self.recipe_folder, *[os.pardir] * 3, "tests", "consumer"))
        cmake.build()

    def test(self):
        if can_run(self):
            self.run("ctest --output-on-failure", cwd=self.build_folder)
