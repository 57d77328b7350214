#pragma once

// The one place that says which libfuse API is used.
#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>
