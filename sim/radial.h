/* radial.h - the public interface: everything that the command line may use.
 *
 * The library never prints, never exits, installs no handlers, keeps no writable static data, and
 * reports every failure as enum rad_status with a message in struct rad_err. */
#ifndef RAD_RADIAL_H
#define RAD_RADIAL_H

#ifdef RADIAL_VERSION /* the Makefile knows it */
#define RAD_VERSION RADIAL_VERSION
#else
#define RAD_VERSION "0.1.0"
#endif

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/io.h"
#include "base/json.h"
#include "base/near.h"
#include "base/param.h"
#include "base/pool.h"
#include "base/progress.h"
#include "base/rng.h"
#include "base/stat.h"
#include "base/yaml.h"
#include "checkpoint/checkpoint.h"
#include "db/db.h"
#include "hw/hw.h"
#include "infer/infer.h"
#include "plot/plot.h"
#include "replay/replay.h"
#include "route/route.h"
#include "spec/spec.h"
#include "store/store.h"
#include "sweep/sweep.h"
#include "tensor/tensor.h"
#include "trace/trace.h"
#include "train/train.h"

#endif
