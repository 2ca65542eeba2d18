# greentrainer.pc, and greentrainer-io.pc and greentrainer-eigen.pc where these targets are: the flags of the CMake
# targets for builds that ask pkg-config. They find their prefix from where they lie, so that it can be moved.
set(pkgconfig_folder ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
cmake_path(IS_ABSOLUTE CMAKE_INSTALL_LIBDIR libdir_is_absolute)
if(libdir_is_absolute)
  set(pkgconfig_prefix ${CMAKE_INSTALL_PREFIX})
  set(pkgconfig_libdir ${CMAKE_INSTALL_LIBDIR})
else()
  cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX BASE_DIRECTORY ${CMAKE_INSTALL_PREFIX}/${pkgconfig_folder}
    OUTPUT_VARIABLE up)
  set(pkgconfig_prefix "\${pcfiledir}/${up}")
  set(pkgconfig_libdir "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
endif()
cmake_path(ABSOLUTE_PATH CMAKE_INSTALL_INCLUDEDIR BASE_DIRECTORY "\${prefix}" OUTPUT_VARIABLE pkgconfig_includedir)

# One file: NAME DESCRIPTION REQUIRES CFLAGS LIBS.
function(install_pkgconfig_file name description requires cflags libs)
  file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/${name}.pc @ONLY CONTENT [[
prefix=@pkgconfig_prefix@
includedir=@pkgconfig_includedir@
libdir=@pkgconfig_libdir@

Name: @name@
Description: @description@
Version: @PROJECT_VERSION@
Requires: @requires@
Cflags: @cflags@
Libs: @libs@
]])
  install(FILES ${PROJECT_BINARY_DIR}/${name}.pc DESTINATION ${pkgconfig_folder})
endfunction()

set(libs "-pthread")
foreach(library IN LISTS CMAKE_DL_LIBS)
  string(APPEND libs " -l${library}")
endforeach()
install_pkgconfig_file(greentrainer "${PROJECT_DESCRIPTION}" "" "-I\${includedir}" "${libs}")
if(TARGET greentrainer_io)
  # As the targets: a project that links to the compiled library leaves the definitions out of its own files.
  set(compiled "")
  set(library "")
  if(GREENTRAINER_COMPILED)
    set(compiled "-DGREENTRAINER_COMPILED")
    set(library "-L\${libdir} -lgreentrainer_io")
  endif()
  install_pkgconfig_file(greentrainer-io "greentrainer's files, tokenizers and trainer"
    "greentrainer, nlohmann_json >= 3.11, libpcre2-8 >= 10.40, icu-uc >= 72, zlib >= 1.2.13, libcrypto >= 3"
    "${compiled}" "${library}")
endif()
if(TARGET greentrainer_eigen)
  install_pkgconfig_file(greentrainer-eigen "greentrainer's CPU backend" "greentrainer, eigen3 >= 3.4" "" "")
endif()
