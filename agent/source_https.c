/* The agent's side: loads the module when it is first wanted. OTA_HTTPS: 0 without, 1 as a
 * module, 2 linked. */
#include "source_https.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

struct servers {
	struct source_https_options options;
	const struct source_https_module *module;
	void *https; /* the module's own; NULL: closed */
};

#if OTA_HTTPS == 1
/* The library stays: what it loaded (OpenSSL, resolvers) does not like to be unloaded. */
static enum ota_err load(const struct source_https_module **ret_module, struct ota_why *why)
{
	void *library = dlopen(SOURCE_HTTPS_LIBRARY, RTLD_NOW | RTLD_LOCAL);
	const struct source_https_module *module;

	if (!library)
		return ota_fail(why, OTA_NOT_FOUND, "%s", dlerror());
	module = dlsym(library, SOURCE_HTTPS_SYMBOL);
	if (!module || strcmp(module->version, OTA_VERSION) != 0)
		return ota_fail(why, OTA_NOT_FOUND, "%s is not of version %s",
				SOURCE_HTTPS_LIBRARY, OTA_VERSION);
	*ret_module = module;
	return OTA_OK;
}
#elif OTA_HTTPS == 2
static enum ota_err load(const struct source_https_module **ret_module, struct ota_why *why)
{
	(void)why;
	*ret_module = &source_https_module;
	return OTA_OK;
}
#else
static enum ota_err load(const struct source_https_module **ret_module, struct ota_why *why)
{
	(void)ret_module;
	return ota_fail(why, OTA_NOT_FOUND, "this agent was built without HTTPS");
}
#endif

static void close_servers(void *ctx)
{
	struct servers *servers = ctx;

	if (servers->https)
		servers->module->close(servers->https);
	servers->https = NULL;
}

static unsigned open_servers(void *ctx, const struct offer_source *urls, unsigned count,
			     const struct source *ret_sources[], struct ota_why *why)
{
	struct servers *servers = ctx;
	unsigned found = 0;

	close_servers(servers);
	if (!servers->module && load(&servers->module, why))
		return 0;
	if (servers->module->open(&servers->options, urls, count, &servers->https, why))
		return 0;
	while (found < count) {
		ret_sources[found] = servers->module->source(servers->https, found);
		if (!ret_sources[found])
			break;
		found++;
	}
	return found;
}

enum ota_err source_https_new(const struct source_https_options *options,
			      struct sources *ret_sources, struct ota_why *why)
{
	struct servers *servers = calloc(1, sizeof(*servers));

	if (!servers)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "HTTPS servers");
	servers->options = *options;
	*ret_sources = (struct sources){servers, open_servers, close_servers};
	return OTA_OK;
}

void source_https_free(struct sources *sources)
{
	if (sources->ctx)
		close_servers(sources->ctx);
	free(sources->ctx);
	*sources = (struct sources){0};
}
