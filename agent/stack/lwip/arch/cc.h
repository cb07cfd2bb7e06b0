/* lwIP's port: WebAssembly on JavaScript. */
#pragma once
#include <stdint.h>
#include <stdlib.h>

__attribute__((import_module("env"), import_name("random"))) uint32_t js_random(void);

#define BYTE_ORDER LITTLE_ENDIAN
#define LWIP_RAND() js_random()
#define LWIP_PLATFORM_DIAG(x) do { } while (0)
#define LWIP_PLATFORM_ASSERT(x) __builtin_trap()
