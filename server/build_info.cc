#include "server/build_info.h"

namespace likeness::server {

// The build passes both for this file alone, so that a commit recompiles nothing else.
const char* BuildInfo() { return LIKENESS_VERSION " (" LIKENESS_COMMIT ")"; }

}  // namespace likeness::server
