# The README's program trains every architecture of the goldens, and saves it, with no change but the folder's name.
#   cmake -DPROGRAM=... -DGOLDENS=tests/golden -DOUTPUT=FOLDER -P each_architecture.cmake
file(MAKE_DIRECTORY ${OUTPUT})
set(rows ${OUTPUT}/rows.jsonl)
file(WRITE ${rows} [[
{"input_ids": [3, 4, 5, 6, 7, 8, 9, 10], "labels": [-100, -100, 5, 6, 7, 8, 9, 10]}
{"input_ids": [11, 3, 12, 4], "labels": [11, 3, 12, 4]}
]])
file(GLOB configs ${GOLDENS}/architectures/*/config.json ${GOLDENS}/models/*/config.json)
list(LENGTH configs count)
if(count LESS 40)
  message(FATAL_ERROR "expected the goldens of 40 architectures and more in ${GOLDENS}, got ${count}")
endif()
set(failed "")
foreach(config ${configs})
  get_filename_component(folder ${config} DIRECTORY)
  get_filename_component(name ${folder} NAME)
  execute_process(COMMAND ${PROGRAM} ${folder} ${rows} ${OUTPUT}/${name}
    RESULT_VARIABLE status OUTPUT_VARIABLE report ERROR_VARIABLE report)
  file(GLOB saved ${OUTPUT}/${name}/*.safetensors)
  if(NOT status EQUAL 0 OR saved STREQUAL "")
    string(APPEND failed "\n${name}: status ${status}\n${report}")
  endif()
endforeach()
if(NOT failed STREQUAL "")
  message(FATAL_ERROR "expected every architecture to be trained and saved, got${failed}")
endif()
message("${count} folders trained and saved")
