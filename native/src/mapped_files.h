// Files mapped into memory, read as tensors without a copy.
#pragma once

#include <node_api.h>

namespace mallows {

void defineMappedFiles(napi_env env, napi_value exports);

}  // namespace mallows
