# cmake -D FILE= -D SECONDS= -D FLAGS= -D COMPILER= -P compile_time.cmake
# Compiles FILE as a user's release build would, and fails if that takes longer than SECONDS.
string(TIMESTAMP started "%s" UTC)
execute_process(COMMAND ${COMPILER} -std=c++20 -O3 -DNDEBUG -c ${FILE} -o ${FILE}.o ${FLAGS} COMMAND_ERROR_IS_FATAL ANY)
string(TIMESTAMP ended "%s" UTC)
math(EXPR took "${ended} - ${started}")
message(STATUS "${FILE}: ${took} s of ${SECONDS}")
if(took GREATER SECONDS)
  message(FATAL_ERROR "${FILE}: expected to compile within ${SECONDS} s, got ${took} s")
endif()
