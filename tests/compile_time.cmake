# cmake -D FILE= -D REFERENCE= -D TIMES= -D FLAGS= -D COMPILER= -P compile_time.cmake Compiles FILE as a user's release
# build would, and fails if that takes more than TIMES as long as REFERENCE: seconds would be the machine's.
function(compile file took)
  string(TIMESTAMP started "%s%f" UTC)
  execute_process(COMMAND ${COMPILER} -std=c++20 -O3 -DNDEBUG -c ${file} -o ${file}.o ${FLAGS}
    COMMAND_ERROR_IS_FATAL ANY)
  string(TIMESTAMP ended "%s%f" UTC)
  math(EXPR milliseconds "(${ended} - ${started}) / 1000")
  set(${took} ${milliseconds} PARENT_SCOPE)
endfunction()

compile(${REFERENCE} reference)
compile(${FILE} took)
message(STATUS "${FILE}: ${took} ms; ${REFERENCE}: ${reference} ms")
math(EXPR most "${TIMES} * ${reference}")
if(took GREATER most)
  message(FATAL_ERROR "${FILE}: expected to compile in ${most} ms, ${TIMES} times what ${REFERENCE} takes here, "
    "got ${took} ms")
endif()
