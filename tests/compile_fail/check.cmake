# cmake -D FILE= -D COMPILER= -D ROOT= -P check.cmake FILE must compile with -DCONTROL, so that what fails without it is
# the point of the file and not, say, a header that moved. Without it the compiler must refuse, and its message must
# match every line `// expect: REGEX` of the file.
file(GLOB include_folders ${ROOT}/include ${ROOT}/backends/*/include)
list(TRANSFORM include_folders PREPEND -I)
set(command ${COMPILER} -std=c++20 -fsyntax-only ${include_folders} ${FILE})

execute_process(COMMAND ${command} -DCONTROL RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "${FILE}: expected to compile with -DCONTROL:\n${output}")
endif()

file(STRINGS ${FILE} expectations REGEX "^// expect: ")
if(NOT expectations)
  message(FATAL_ERROR "${FILE}: expected a line '// expect: REGEX', got none")
endif()
execute_process(COMMAND ${command} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(status EQUAL 0)
  message(FATAL_ERROR "${FILE}: expected the compiler to refuse it, but it compiles")
endif()
foreach(expectation IN LISTS expectations)
  string(REGEX REPLACE "^// expect: " "" expectation "${expectation}")
  if(NOT output MATCHES "${expectation}")
    message(FATAL_ERROR "${FILE}: expected a message that matches '${expectation}', got:\n${output}")
  endif()
endforeach()
