# Flags that every target of ours gets: link likeness::options.
add_library(likeness_options INTERFACE)
add_library(likeness::options ALIAS likeness_options)
target_include_directories(likeness_options INTERFACE ${CMAKE_SOURCE_DIR})
# A score must not depend on what the compiler chose to contract: fused multiply-add is called by name.
target_compile_options(
  likeness_options
  INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off
            -fno-math-errno
            -fno-trapping-math
            -Wall
            -Wextra
            -Wno-psabi
            -Wno-ignored-attributes>)
if(LIKENESS_WERROR)
  target_compile_options(likeness_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Werror>)
endif()
if(LIKENESS_SANITIZER)
  target_compile_options(likeness_options INTERFACE -fsanitize=${LIKENESS_SANITIZER} -fno-omit-frame-pointer)
  target_link_options(likeness_options INTERFACE -fsanitize=${LIKENESS_SANITIZER})
endif()
find_package(Threads REQUIRED)
target_link_libraries(likeness_options INTERFACE Threads::Threads)
