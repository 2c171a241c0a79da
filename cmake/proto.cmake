# Generated C of every .proto, through protoc-c, into the build tree; includes are "etcdserverpb/rpc.pb-c.h" and so on.
find_program(PROTOC_C protoc-c REQUIRED)
file(GLOB_RECURSE proto_files CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR}/proto ${CMAKE_SOURCE_DIR}/proto/*.proto)
set(proto_out ${CMAKE_BINARY_DIR}/proto)
file(MAKE_DIRECTORY ${proto_out})
set(proto_sources)
foreach(proto ${proto_files})
  string(REGEX REPLACE "\\.proto$" ".pb-c" stem ${proto})
  add_custom_command(OUTPUT ${proto_out}/${stem}.c ${proto_out}/${stem}.h
    COMMAND ${PROTOC_C} --proto_path=${CMAKE_SOURCE_DIR}/proto --c_out=${proto_out} ${proto}
    DEPENDS ${CMAKE_SOURCE_DIR}/proto/${proto} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}/proto VERBATIM)
  list(APPEND proto_sources ${proto_out}/${stem}.c)
endforeach()
add_library(kvd_proto STATIC ${proto_sources})
target_include_directories(kvd_proto SYSTEM PUBLIC ${proto_out})
target_link_libraries(kvd_proto PUBLIC PkgConfig::PROTOBUF_C)
target_compile_options(kvd_proto PRIVATE -w)
