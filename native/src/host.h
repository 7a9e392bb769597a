// The machine under the engine: allocator settings, threads, arithmetic modes, CPU features, CUDA.
#pragma once

#include <node_api.h>

namespace mallows {

/// Settings that must be made before the engine starts threads or asks for devices. Runs once per process.
void prepareHost();

void defineHost(napi_env env, napi_value exports);

}  // namespace mallows
