// Seeded random generators whose state can be saved and restored.
#pragma once

#include <node_api.h>

namespace mallows {

void defineGenerators(napi_env env, napi_value exports);

}  // namespace mallows
