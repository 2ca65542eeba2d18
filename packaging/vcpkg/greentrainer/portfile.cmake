# An overlay port of the source that it lies in: vcpkg install greentrainer --overlay-ports=packaging/vcpkg
get_filename_component(SOURCE_PATH "${CURRENT_PORT_DIR}/../../.." ABSOLUTE)
set(VCPKG_BUILD_TYPE release)  # headers alone

set(options -DGREENTRAINER_TESTS=OFF -DGREENTRAINER_EXAMPLES=OFF -DGREENTRAINER_BENCHMARKS=OFF -DGREENTRAINER_CUDA=OFF
  -DCMAKE_DISABLE_FIND_PACKAGE_MPI=ON)
if(NOT "io" IN_LIST FEATURES)
  list(APPEND options -DCMAKE_DISABLE_FIND_PACKAGE_nlohmann_json=ON)
endif()
if(NOT "eigen" IN_LIST FEATURES)
  list(APPEND options -DCMAKE_DISABLE_FIND_PACKAGE_Eigen3=ON)
endif()

vcpkg_cmake_configure(SOURCE_PATH "${SOURCE_PATH}" OPTIONS ${options})
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(CONFIG_PATH lib/cmake/greentrainer)
vcpkg_fixup_pkgconfig()
file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/share/doc")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
