# What of the tree there is for Windows; the rest is not configured (docs/windows.md).

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(OpenSSL 3.0 REQUIRED)

set(KW_BASE_SYSTEM acl_windows.c wide_windows.c)
add_subdirectory(core/base)

# What programs need beside them.
file(GLOB dlls ${KW_WINDOWS_PREFIX}/bin/*.dll ${KW_MINGW_PREFIX}/lib/libwinpthread-1.dll)
file(COPY ${dlls} DESTINATION ${CMAKE_RUNTIME_OUTPUT_DIRECTORY})

if(BUILD_TESTING)
    find_library(CMOCKA cmocka-static REQUIRED)
    add_library(PkgConfig::CMOCKA INTERFACE IMPORTED GLOBAL) # as it is called elsewhere
    target_link_libraries(PkgConfig::CMOCKA INTERFACE ${CMOCKA})
    file(COPY ${dlls} DESTINATION ${CMAKE_BINARY_DIR}/tests)
    add_subdirectory(tests/unit/base)
endif()
