# PCRE2 without its own CMake package (Debian ships none). Defines PCRE2::8BIT, as PCRE2's own package does, PCRE2_FOUND
# and PCRE2_VERSION.
if(TARGET PCRE2::8BIT)
  set(PCRE2_FOUND TRUE)
  return()
endif()

find_path(PCRE2_INCLUDE_DIR pcre2.h)
find_library(PCRE2_8BIT_LIBRARY NAMES pcre2-8 pcre2-8-static)
mark_as_advanced(PCRE2_INCLUDE_DIR PCRE2_8BIT_LIBRARY)

if(PCRE2_INCLUDE_DIR)
  file(STRINGS "${PCRE2_INCLUDE_DIR}/pcre2.h" PCRE2_VERSION REGEX "^#define PCRE2_(MAJOR|MINOR) +[0-9]+")
  list(TRANSFORM PCRE2_VERSION REPLACE "^#define PCRE2_[A-Z]+ +([0-9]+).*" "\\1")
  list(JOIN PCRE2_VERSION "." PCRE2_VERSION)
endif()
if(PCRE2_8BIT_LIBRARY)
  set(PCRE2_8BIT_FOUND TRUE)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(PCRE2 REQUIRED_VARS PCRE2_8BIT_LIBRARY PCRE2_INCLUDE_DIR VERSION_VAR PCRE2_VERSION
  HANDLE_COMPONENTS)

if(PCRE2_FOUND)
  add_library(PCRE2::8BIT UNKNOWN IMPORTED)
  set_target_properties(PCRE2::8BIT PROPERTIES IMPORTED_LOCATION "${PCRE2_8BIT_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${PCRE2_INCLUDE_DIR}")
endif()
