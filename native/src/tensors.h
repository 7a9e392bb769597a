// Tensors: making them from host numbers, reading them, asking about them, releasing them.
#pragma once

#include <node_api.h>

namespace mallows {

void defineTensors(napi_env env, napi_value exports);

}  // namespace mallows
