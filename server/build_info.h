// Which build this is.
#pragma once

namespace likeness::server {

// Version and commit: "0.1.0 (08e006c)".
const char* BuildInfo();

}  // namespace likeness::server
