# How everything here is compiled, and the functions that the folders use.

cmake_path(GET CMAKE_CURRENT_LIST_DIR PARENT_PATH KW_TOP)

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
# A file NAME_posix.c has a counterpart NAME_windows.c.
set(KW_SYSTEM posix)
if(WIN32)
    set(KW_SYSTEM windows)
endif()
# The build tree looks like an installation, so that the library finds its plugins beside itself in both.
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
set(KW_PLUGIN_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib/keywright)
set(KW_PROVIDER_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib/ossl-modules)
set(KW_PLUGIN_INSTALL_DIRECTORY ${CMAKE_INSTALL_LIBDIR}/keywright)

# The floors' headers are found with "" alone: with <> a header of the floor openssl would stand in for libcrypto's of the same name.
set(KW_QUOTED_INCLUDES "SHELL:-iquote ${KW_TOP}/core")

set(KW_SANITIZE "" CACHE STRING "sanitizers, such as address,undefined or thread")
option(KW_FUZZ "build the fuzz targets of fuzz/, and all that they reach with their coverage (clang)" OFF)
option(KW_WERROR "treat warnings as errors" ON)

add_compile_options(-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wundef -Wvla -Wpointer-arith -Wwrite-strings
    -Wcast-function-type -Wformat=2 $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes> $<$<COMPILE_LANGUAGE:C>:-Wmissing-prototypes>
    $<$<COMPILE_LANGUAGE:C>:-Wold-style-definition> -fstack-protector-strong)
if(KW_WERROR)
    add_compile_options(-Werror)
endif()
# valgrind 3.19 cannot read the debug information that clang 14 writes by default.
if(CMAKE_C_COMPILER_ID MATCHES Clang)
    add_compile_options(-gdwarf-4)
endif()
add_compile_definitions(_GNU_SOURCE)
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT KW_SANITIZE)
    add_compile_definitions(_FORTIFY_SOURCE=2)
endif()
if(WIN32)
    # Windows 10 and what it has; programs bring no library of the compiler's along but its threads.
    add_compile_definitions(_WIN32_WINNT=0x0A00 WIN32_LEAN_AND_MEAN UNICODE _CRT_RAND_S)
    add_link_options(-static-libgcc)
    # What -fstack-protector calls: of the compiler, where mingw-w64 does not have it itself.
    execute_process(COMMAND ${CMAKE_C_COMPILER} -print-file-name=libssp.a OUTPUT_VARIABLE KW_SSP OUTPUT_STRIP_TRAILING_WHITESPACE)
    if(IS_ABSOLUTE "${KW_SSP}")
        link_libraries(${KW_SSP})
    endif()
else()
    add_link_options(-Wl,-z,relro,-z,now -Wl,--as-needed)
endif()
if(KW_FUZZ)
    add_compile_options(-fsanitize=fuzzer-no-link)
    add_compile_definitions(KW_FUZZ)
endif()
if(KW_SANITIZE)
    add_compile_options(-fsanitize=${KW_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    add_link_options(-fsanitize=${KW_SANITIZE})
else()
    add_link_options(-Wl,--no-undefined)
endif()

# kw_floor(NAME USES floor... LIBRARIES library... SOURCES file...): one floor of the core, as objects. What it and the floors below it link
# with is the target kw-NAME-libraries.
function(kw_floor name)
    cmake_parse_arguments(arg "" "" "USES;LIBRARIES;SOURCES" ${ARGN})
    list(TRANSFORM arg_USES REPLACE "(.+)" "kw-\\1-libraries")
    add_library(kw-${name}-libraries INTERFACE)
    target_link_libraries(kw-${name}-libraries INTERFACE ${arg_LIBRARIES} ${arg_USES})

    add_library(kw-${name} OBJECT ${arg_SOURCES})
    target_include_directories(kw-${name} PUBLIC ${KW_TOP}/include)
    target_compile_options(kw-${name} PRIVATE ${KW_QUOTED_INCLUDES})
    target_compile_definitions(kw-${name} PRIVATE KW_BUILDING_LIBRARY KW_VERSION="${PROJECT_VERSION}")
    target_link_libraries(kw-${name} PRIVATE kw-${name}-libraries)
endfunction()

# kw_plugin(NAME LIBRARIES library... SOURCES file...): a plugin module that sees plugin.h and its vendor's library alone.
function(kw_plugin name)
    cmake_parse_arguments(arg "TEST" "DIRECTORY" "LIBRARIES;SOURCES;DEFINITIONS" ${ARGN})
    add_library(plugin-${name} MODULE ${arg_SOURCES})
    target_include_directories(plugin-${name} PRIVATE ${KW_TOP}/include)
    target_compile_definitions(plugin-${name} PRIVATE ${arg_DEFINITIONS})
    target_link_libraries(plugin-${name} PRIVATE ${arg_LIBRARIES})
    if(NOT arg_DIRECTORY)
        set(arg_DIRECTORY ${KW_PLUGIN_OUTPUT_DIRECTORY})
    endif()
    set_target_properties(plugin-${name} PROPERTIES PREFIX "" OUTPUT_NAME keywright-${name}
        LIBRARY_OUTPUT_DIRECTORY ${arg_DIRECTORY})
    if(NOT arg_TEST)
        install(TARGETS plugin-${name} LIBRARY DESTINATION ${KW_PLUGIN_INSTALL_DIRECTORY})
    endif()
endfunction()

# kw_test(NAME FLOORS floor... SOURCES file... LIBRARIES library...): a CMocka program, registered with CTest, built of the floors' objects.
# Its first label is the folder of tests/ that it is in: unit, conformance, fault; one that starts threads has the label threads, too. LAUNCHER: a command that runs the program.
function(kw_test name)
    cmake_parse_arguments(arg "" "" "FLOORS;SOURCES;LIBRARIES;DEFINITIONS;LABELS;ENVIRONMENT;LAUNCHER" ${ARGN})
    add_executable(${name} ${arg_SOURCES})
    target_include_directories(${name} PRIVATE ${KW_TOP}/include)
    target_compile_options(${name} PRIVATE ${KW_QUOTED_INCLUDES} "SHELL:-iquote ${KW_TOP}/tests")
    foreach(floor ${arg_FLOORS})
        target_sources(${name} PRIVATE $<TARGET_OBJECTS:kw-${floor}>)
        target_link_libraries(${name} PRIVATE kw-${floor}-libraries)
    endforeach()
    target_link_libraries(${name} PRIVATE PkgConfig::CMOCKA Threads::Threads ${arg_LIBRARIES})
    target_compile_definitions(${name} PRIVATE ${arg_DEFINITIONS})
    if(WIN32 AND arg_FLOORS)
        target_compile_definitions(${name} PRIVATE KW_BUILDING_LIBRARY) # what it calls is in the program itself, not in a DLL
    endif()
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    add_test(NAME ${name} COMMAND ${arg_LAUNCHER} ${CMAKE_CROSSCOMPILING_EMULATOR} $<TARGET_FILE:${name}>)
    set_tests_properties(${name} PROPERTIES TIMEOUT 900)
    cmake_path(RELATIVE_PATH CMAKE_CURRENT_SOURCE_DIR BASE_DIRECTORY ${KW_TOP}/tests OUTPUT_VARIABLE suite)
    string(REGEX REPLACE "/.*" "" suite "${suite}")
    foreach(source ${arg_SOURCES})
        file(STRINGS ${source} starts REGEX "pthread_create" LIMIT_COUNT 1)
        if(starts)
            list(APPEND arg_LABELS threads)
        endif()
    endforeach()
    set_tests_properties(${name} PROPERTIES LABELS "${suite};${arg_LABELS}")
    if(arg_ENVIRONMENT)
        set_tests_properties(${name} PROPERTIES ENVIRONMENT "${arg_ENVIRONMENT}")
    endif()
endfunction()

# kw_dispatch_tables(SOURCE...): OpenSSL's OSSL_DISPATCH holds every function as void (*)(void), so its tables must cast. gcc's and clang's
# -Wcast-function-type allow that one type; clang's strict form allows none.
include(CheckCCompilerFlag)
check_c_compiler_flag(-Wcast-function-type-strict KW_HAS_STRICT_FUNCTION_CASTS)
function(kw_dispatch_tables)
    if(KW_HAS_STRICT_FUNCTION_CASTS)
        set_source_files_properties(${ARGN} PROPERTIES COMPILE_OPTIONS -Wno-cast-function-type-strict)
    endif()
endfunction()
