#include "root_edit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room for one more element; the new one is zeroed. */
static enum ota_err grow(void **array, uint32_t count, size_t size, struct ota_why *why)
{
	void *more = reallocarray(*array, count + 1, size);

	if (!more)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a root");
	memset((char *)more + count * size, 0, size);
	*array = more;
	return OTA_OK;
}

static int find_key(const struct root_document *root, const struct digest *id)
{
	uint32_t i;

	for (i = 0; i < root->key_count; i++)
		if (digest_equal(&root->keys[i].id, id))
			return (int)i;
	return -1;
}

enum ota_err root_edit_add_key(struct root_document *root, const struct sign_public *key,
			       const char *name, struct ota_why *why)
{
	struct root_key *place;
	void *keys = root->keys;
	enum ota_err err;

	if (find_key(root, &key->id) >= 0)
		return OTA_OK;
	err = grow(&keys, root->key_count, sizeof(*root->keys), why);
	if (err)
		return err;
	root->keys = keys;
	place = &root->keys[root->key_count];
	err = text_base64(key->der, key->der_len, &place->public_base64, why);
	if (err)
		return err;
	place->id = key->id;
	place->algorithm = key->algorithm;
	text_copy(place->name, sizeof(place->name), name);
	root->key_count++;
	return OTA_OK;
}

static void leave_role(struct root_role *role, const struct digest *id)
{
	uint32_t i;

	for (i = 0; i < role->key_count; i++) {
		if (!digest_equal(&role->keys[i], id))
			continue;
		memmove(&role->keys[i], &role->keys[i + 1],
			(role->key_count - i - 1) * sizeof(role->keys[0]));
		role->key_count--;
		return;
	}
}

static void drop_releaser(struct root_document *root, uint32_t i)
{
	free(root->releasers[i].products);
	free(root->releasers[i].groups);
	free(root->releasers[i].actions);
	memmove(&root->releasers[i], &root->releasers[i + 1],
		(root->releaser_count - i - 1) * sizeof(root->releasers[0]));
	root->releaser_count--;
}

static enum ota_err find_named(const struct root_document *root, const char *name_or_id,
			       uint32_t *ret_at, struct ota_why *why)
{
	uint32_t found = UINT32_MAX, i;
	char hex[TEXT_HEX32_SIZE];

	for (i = 0; i < root->key_count; i++) {
		text_from_digest(hex, root->keys[i].id.bytes);
		if (strcmp(root->keys[i].name, name_or_id) != 0 &&
		    (strlen(name_or_id) < 8 || strncmp(hex, name_or_id, strlen(name_or_id))))
			continue;
		if (found != UINT32_MAX)
			return ota_fail(why, OTA_CONFLICT,
					"'%s' is more than one key; give its id", name_or_id);
		found = i;
	}
	if (found == UINT32_MAX)
		return ota_fail(why, OTA_NOT_FOUND, "the root has no key '%s'", name_or_id);
	*ret_at = found;
	return OTA_OK;
}

static void drop_key(struct root_document *root, uint32_t at)
{
	const struct digest id = root->keys[at].id;
	uint32_t i;

	leave_role(&root->root, &id);
	leave_role(&root->firmware, &id);
	leave_role(&root->development, &id);
	leave_role(&root->head, &id);
	for (i = root->releaser_count; i > 0; i--)
		if (digest_equal(&root->releasers[i - 1].key, &id))
			drop_releaser(root, i - 1);
	free(root->keys[at].public_base64);
	memmove(&root->keys[at], &root->keys[at + 1],
		(root->key_count - at - 1) * sizeof(root->keys[0]));
	root->key_count--;
	root->has_head = root->has_head && root->head.key_count;
	root->has_development = root->has_development && root->development.key_count;
}

enum ota_err root_edit_revoke(struct root_document *root, const char *name_or_id,
			      struct ota_why *why)
{
	uint32_t at = 0;
	enum ota_err err = find_named(root, name_or_id, &at, why);

	if (!err)
		drop_key(root, at);
	return err;
}

static enum ota_err check_role(const struct root_role *role, const char *name,
			       struct ota_why *why)
{
	if (role->key_count && role->key_count >= role->threshold)
		return OTA_OK;
	return ota_fail(why, OTA_MANIFEST_INVALID,
			"the role %s would have %u keys, %u are needed: give the new one too",
			name, role->key_count, role->threshold ? role->threshold : 1);
}

enum ota_err root_edit_check(const struct root_document *root, struct ota_why *why)
{
	enum ota_err err = check_role(&root->root, "root", why);

	return err ? err : check_role(&root->firmware, "firmware", why);
}

enum ota_err root_edit_join(struct root_document *root, struct root_role *role,
			    const struct sign_public *key, const char *name, uint32_t threshold,
			    struct ota_why *why)
{
	void *keys = role->keys;
	enum ota_err err = root_edit_add_key(root, key, name, why);

	if (!err)
		err = grow(&keys, role->key_count, sizeof(*role->keys), why);
	if (err)
		return err;
	role->keys = keys;
	role->keys[role->key_count++] = key->id;
	if (threshold)
		role->threshold = threshold;
	return OTA_OK;
}

enum ota_err root_edit_replace(struct root_document *root, struct root_role *role,
			       const struct sign_public *key, const char *name,
			       struct ota_why *why)
{
	int at;

	if (role->key_count > 1)
		return ota_fail(
			why, OTA_CONFLICT,
			"this role has %u keys: --revoke the one that goes and --add the "
			"one that comes",
			role->key_count);
	at = role->key_count ? find_key(root, &role->keys[0]) : -1;
	if (at >= 0)
		drop_key(root, (uint32_t)at);
	return root_edit_join(root, role, key, name, 0, why);
}

static enum ota_err split_names(const char *list, struct name_text **ret_names,
				uint32_t *ret_count, struct ota_why *why)
{
	size_t len;

	for (; *list; list += len + (list[len] == ',')) {
		void *names = *ret_names;
		enum ota_err err = grow(&names, *ret_count, sizeof(**ret_names), why);

		if (err)
			return err;
		*ret_names = names;
		len = strcspn(list, ",");
		snprintf((*ret_names)[*ret_count].text, NAME_SIZE, "%.*s",
			 (int)(len < 64 ? len : 64), list);
		if (!name_is_product_or_all((*ret_names)[*ret_count].text))
			return ota_fail(why, OTA_BAD_REQUEST, "'%s': allowed are %s, or *",
					(*ret_names)[*ret_count].text, NAME_LOWER_ALLOWED);
		(*ret_count)++;
	}
	return OTA_OK;
}

static enum ota_err split_actions(const char *list, struct root_releaser *releaser,
				  struct ota_why *why)
{
	size_t len;
	unsigned action;

	for (; *list; list += len + (list[len] == ',')) {
		void *actions = releaser->actions;
		enum ota_err err =
			grow(&actions, releaser->action_count, sizeof(*releaser->actions), why);

		if (err)
			return err;
		releaser->actions = actions;
		len = strcspn(list, ",");
		for (action = 0; action < ROOT_ACTION_COUNT; action++)
			if (strlen(root_action_names[action]) == len &&
			    !memcmp(root_action_names[action], list, len))
				break;
		if (action == ROOT_ACTION_COUNT)
			return ota_fail(
				why, OTA_BAD_REQUEST,
				"action '%.*s': allowed are release, force, downgrade and "
				"rollback",
				(int)len, list);
		releaser->actions[releaser->action_count++] = (enum root_action)action;
	}
	return OTA_OK;
}

enum ota_err root_edit_add_releaser(struct root_document *root, const struct sign_public *key,
				    const struct root_edit_releaser *releaser,
				    struct ota_why *why)
{
	void *releasers = root->releasers;
	struct root_releaser *place;
	enum ota_err err;

	if (!name_is_id(releaser->manager))
		return ota_fail(why, OTA_BAD_REQUEST, "manager '%s': allowed are %s",
				releaser->manager, NAME_ALLOWED);
	err = root_edit_add_key(root, key, releaser->manager, why);
	if (!err)
		err = grow(&releasers, root->releaser_count, sizeof(*root->releasers), why);
	if (err)
		return err;
	root->releasers = releasers;
	place = &root->releasers[root->releaser_count++];
	place->key = key->id;
	place->not_after = releaser->not_after;
	text_copy(place->manager, sizeof(place->manager), releaser->manager);
	err = split_names(releaser->products, &place->products, &place->product_count, why);
	if (!err)
		err = split_names(releaser->groups, &place->groups, &place->group_count, why);
	return err ? err : split_actions(releaser->actions, place, why);
}

enum ota_err root_edit_add_anchor(struct root_document *root, const char *der_base64,
				  struct ota_why *why)
{
	void *anchors = root->anchors;
	enum ota_err err;

	if (root->anchor_count >= ROOT_ANCHORS_MAX)
		return ota_fail(why, OTA_TOO_LARGE, "a root holds at most %u CAs",
				ROOT_ANCHORS_MAX);
	err = grow(&anchors, root->anchor_count, sizeof(*root->anchors), why);
	if (err)
		return err;
	root->anchors = anchors;
	root->anchors[root->anchor_count].der_base64 = strdup(der_base64);
	if (!root->anchors[root->anchor_count].der_base64)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a root");
	root->anchor_count++;
	return OTA_OK;
}

void root_edit_drop_anchors(struct root_document *root)
{
	while (root->anchor_count)
		free(root->anchors[--root->anchor_count].der_base64);
}

enum ota_err root_edit_set_floor(struct root_document *root, const char *product,
				 uint64_t security_version, struct ota_why *why)
{
	void *floors = root->floors;
	uint32_t i;
	enum ota_err err;

	if (!name_is_product(product))
		return ota_fail(why, OTA_BAD_REQUEST, "product '%s': allowed are %s", product,
				NAME_LOWER_ALLOWED);
	for (i = 0; i < root->floor_count && strcmp(root->floors[i].product, product); i++)
		;
	if (i == root->floor_count) {
		err = grow(&floors, i, sizeof(*root->floors), why);
		if (err)
			return err;
		root->floors = floors;
		root->floor_count++;
		text_copy(root->floors[i].product, NAME_SIZE, product);
	} else if (security_version < root->floors[i].security_version) {
		return ota_fail(why, OTA_VERSION_NOT_ALLOWED,
				"the floor of %s is %llu and never falls", product,
				(unsigned long long)root->floors[i].security_version);
	}
	root->floors[i].security_version = security_version;
	return OTA_OK;
}
