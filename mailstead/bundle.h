#ifndef MAILSTEAD_BUNDLE_H
#define MAILSTEAD_BUNDLE_H

#include "mailstead/cli.h"

int command_support_bundle(struct cli *c); /* support-bundle FILE */

#endif /* MAILSTEAD_BUNDLE_H */
