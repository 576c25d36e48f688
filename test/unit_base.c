/* SPDX-License-Identifier: MIT */
/* The heap, the map, the arena, lists and growing arrays of lib/base, against plain ones that are obviously right. */
#include "unit.h"

#include "base/arena.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "faas/common.h"

/* ---- The heap ---------------------------------------------------------------------------------------------------- */

#define HEAP_NODES 300

/* The first of those that are in, by looking at all of them. */
static struct heap_node *first_of(struct heap_node *nodes, const bool *is_in, size_t count)
{
	struct heap_node *first = NULL;

	for (size_t i = 0; i < count; i++) {
		struct heap_node *node = &nodes[i];

		if (is_in[i] && (!first || node->key < first->key || (node->key == first->key && node->second < first->second)))
			first = node;
	}
	return first;
}

static void a_random_heap_has_the_smallest_first(void **state)
{
	struct random random = unit_random("heap");
	static struct heap_node nodes[HEAP_NODES];
	static bool is_in[HEAP_NODES];
	struct heap heap = {NULL};

	(void)state;
	memset(nodes, 0, sizeof(nodes));
	memset(is_in, 0, sizeof(is_in));
	for (int step = 0; step < 60000; step++) {
		size_t i = (size_t)unit_below(&random, HEAP_NODES);
		/* Grows and shrinks in turn. */
		bool inserts = unit_below(&random, 10) < (step / 1000 % 2 == 0 ? 7u : 3u);

		assert_int_equal(is_in[i], faas__heap_contains(&nodes[i]));
		if (inserts && !is_in[i]) {
			nodes[i].key = (int64_t)unit_below(&random, 50) - 25;
			nodes[i].second = (uint64_t)step;
			faas__heap_insert(&heap, &nodes[i]);
			is_in[i] = true;
		} else if (!inserts && is_in[i]) {
			faas__heap_remove(&heap, &nodes[i]);
			is_in[i] = false;
		} else if (heap.root && unit_below(&random, 4) == 0) {
			struct heap_node *first = faas__heap_first(&heap);

			faas__heap_remove(&heap, first);
			is_in[first - nodes] = false;
		}
		assert_ptr_equal(first_of(nodes, is_in, HEAP_NODES), faas__heap_first(&heap));
	}
}

static void a_heap_gives_everything_back_in_order(void **state)
{
	enum { COUNT = 100000 };
	struct random random = unit_random("heap order");
	struct heap_node *nodes = calloc(COUNT, sizeof(*nodes));
	struct heap heap = {NULL};
	int64_t last = INT64_MIN;

	(void)state;
	assert_non_null(nodes);
	for (size_t i = 0; i < COUNT; i++) {
		/* Ascending, descending, equal, extreme and random keys. */
		nodes[i].key = i % 5 == 0   ? (int64_t)i
		               : i % 5 == 1 ? -(int64_t)i
		               : i % 5 == 2 ? 7
		               : i % 5 == 3 ? (i & 8 ? INT64_MAX : INT64_MIN)
		                            : (int64_t)faas__random_next(&random);
		nodes[i].second = i;
		faas__heap_insert(&heap, &nodes[i]);
	}
	for (size_t i = 0; i < COUNT; i++) {
		struct heap_node *first = faas__heap_first(&heap);

		assert_non_null(first);
		assert_true(first->key >= last);
		last = first->key;
		faas__heap_remove(&heap, first);
		assert_false(faas__heap_contains(first));
	}
	assert_null(faas__heap_first(&heap));
	free(nodes);
}

/* ---- The map ----------------------------------------------------------------------------------------------------- */

#define NAMES 400

static void a_random_map_finds_what_is_in_it(void **state)
{
	struct random random = unit_random("map");
	static char names[NAMES][16];
	static bool is_in[NAMES];
	struct map map = {.seed = faas__random_next(&random)};
	size_t count = 0;

	(void)state;
	memset(is_in, 0, sizeof(is_in));
	for (size_t i = 0; i < NAMES; i++)
		(void)snprintf(names[i], sizeof(names[i]), "name-%zu", i * i);
	faas__map_remove(&map, names[0]);
	for (int step = 0; step < 40000; step++) {
		size_t i = (size_t)unit_below(&random, NAMES), other = (size_t)unit_below(&random, NAMES);

		if (is_in[i]) {
			faas__map_remove(&map, names[i]);
			count--;
		} else {
			assert_int_equal(FAAS_OK, faas__map_add(&map, &unit_allocator, names[i], names[i]));
			count++;
		}
		is_in[i] = !is_in[i];
		assert_int_equal(count, map.count);
		assert_ptr_equal(is_in[i] ? names[i] : NULL, faas__map_get(&map, names[i]));
		assert_ptr_equal(is_in[other] ? names[other] : NULL, faas__map_get(&map, names[other]));
		if (step % 1000 == 0)
			for (size_t k = 0; k < NAMES; k++)
				assert_ptr_equal(is_in[k] ? names[k] : NULL, faas__map_get(&map, names[k]));
	}
	faas__map_remove(&map, "not there");
	assert_int_equal(count, map.count);
	faas__map_deinit(&map, &unit_allocator);
	unit_check_empty();
}

static void a_map_without_memory_stays_as_it_is(void **state)
{
	struct map map = {.seed = 1};
	static char names[64][8];
	size_t count = 0;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		(void)snprintf(names[i], sizeof(names[i]), "%zu", i);
		unit_refuse_from(0);
		if (faas__map_add(&map, &unit_allocator, names[i], names[i]) == FAAS_ENOMEM) {
			assert_null(faas__map_get(&map, names[i]));
			unit_refuse_from(-1);
			assert_int_equal(FAAS_OK, faas__map_add(&map, &unit_allocator, names[i], names[i]));
			count++;
		}
		unit_refuse_from(-1);
		for (size_t k = 0; k <= i; k++)
			assert_ptr_equal(names[k], faas__map_get(&map, names[k]));
	}
	assert_in_range(count, 2, 8);
	faas__map_deinit(&map, &unit_allocator);
	unit_check_empty();
}

/* ---- The arena --------------------------------------------------------------------------------------------------- */

static void an_arenas_memory_does_not_overlap(void **state)
{
	struct random random = unit_random("arena");
	struct arena arena = {NULL, 0};

	(void)state;
	for (int round = 0; round < 50; round++) {
		enum { PIECES = 200 };
		unsigned char *pieces[PIECES];
		size_t bytes[PIECES];

		assert_true(faas__arena_is_empty(&arena));
		for (int i = 0; i < PIECES; i++) {
			bytes[i] = (size_t)unit_below(&random, unit_below(&random, i == 0 ? 2 : 20) == 0 ? 20000 : 200);
			pieces[i] = faas__arena_alloc(&arena, &unit_allocator, bytes[i]);
			assert_non_null(pieces[i]);
			assert_false(faas__arena_is_empty(&arena));
			assert_int_equal(0, (uintptr_t)pieces[i] % 16);
			memset(pieces[i], i, bytes[i]);
		}
		for (int i = 0; i < PIECES; i++)
			for (size_t k = 0; k < bytes[i]; k++)
				if (pieces[i][k] != (unsigned char)i)
					fail_msg("piece %d of %zu bytes was overwritten at %zu", i, bytes[i], k);
		faas__arena_reset(&arena, &unit_allocator);
		/* One chunk of common size is kept. */
		assert_in_range(atomic_load(&unit_blocks), 0, 1);
	}
	faas__arena_deinit(&arena, &unit_allocator);
	unit_check_empty();
}

static void an_arena_survives_refused_memory(void **state)
{
	static const size_t sizes[] = {0, 1, 100, 4000, 100000};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(sizes); i++) {
		struct arena arena = {NULL, 0};

		unit_refuse_from(0);
		assert_null(faas__arena_alloc(&arena, &unit_allocator, sizes[i]));
		unit_refuse_from(-1);
		assert_non_null(faas__arena_alloc(&arena, &unit_allocator, sizes[i]));
		assert_non_null(faas__arena_alloc(&arena, &unit_allocator, 5));
		assert_null(faas__arena_alloc(&arena, &unit_allocator, SIZE_MAX - 10));
		faas__arena_reset(&arena, &unit_allocator);
		assert_non_null(faas__arena_alloc(&arena, &unit_allocator, 5));
		faas__arena_deinit(&arena, &unit_allocator);
		faas__arena_deinit(&arena, &unit_allocator);
	}
	unit_check_empty();
}

/* ---- Lists and arrays -------------------------------------------------------------------------------------------- */

static void a_list_keeps_its_order(void **state)
{
	struct list head, nodes[5];
	size_t count = 0;

	(void)state;
	list_init(&head);
	assert_true(list_empty(&head));
	assert_null(list_pop_front(&head));
	for (size_t i = 0; i < COUNT_OF(nodes); i++)
		list_init(&nodes[i]);
	list_push_back(&head, &nodes[1]);
	list_push_back(&head, &nodes[3]);
	list_push_front(&head, &nodes[0]);
	list_insert_after(&nodes[1], &nodes[2]);
	list_push_back(&head, &nodes[4]);
	list_each(node, &head) assert_ptr_equal(&nodes[count++], node);
	assert_int_equal(5, count);
	list_remove(&nodes[2]);
	list_remove(&nodes[2]);
	assert_ptr_equal(&nodes[0], list_pop_front(&head));
	assert_ptr_equal(&nodes[1], list_pop_front(&head));
	assert_ptr_equal(&nodes[3], list_pop_front(&head));
	assert_ptr_equal(&nodes[4], list_pop_front(&head));
	assert_true(list_empty(&head));
}

static void an_array_grows_or_stays(void **state)
{
	uint32_t *numbers = NULL;
	void *array = NULL;
	size_t capacity = 0;

	(void)state;
	for (uint32_t i = 0; i < 1000; i++) {
		size_t before = capacity;

		unit_refuse_from(0);
		if (faas__array_grow(&unit_allocator, &array, &capacity, i + 1, sizeof(*numbers)) != FAAS_OK) {
			assert_int_equal(before, capacity);
			assert_ptr_equal(numbers, array);
			unit_refuse_from(-1);
			assert_int_equal(FAAS_OK, faas__array_grow(&unit_allocator, &array, &capacity, i + 1, sizeof(*numbers)));
		}
		unit_refuse_from(-1);
		numbers = array;
		assert_true(capacity > i);
		numbers[i] = i * 3;
	}
	for (uint32_t i = 0; i < 1000; i++)
		assert_int_equal(i * 3, numbers[i]);
	assert_int_equal(FAAS_ENOMEM, faas__array_grow(&unit_allocator, &array, &capacity, SIZE_MAX / 2, sizeof(*numbers)));
	faas__free(&unit_allocator, array, capacity * sizeof(*numbers));
	unit_check_empty();
}

static void large_aligned_blocks_come_and_go(void **state)
{
	static const size_t alignments[] = {16, 64, 4096, 65536};
	struct allocator allocator;

	(void)state;
	assert_int_equal(FAAS_OK, faas__allocator_init(&allocator, NULL));
	for (size_t i = 0; i < COUNT_OF(alignments); i++)
		for (size_t bytes = 1; bytes < 300000; bytes = bytes * 3 + 1) {
			unsigned char *block = faas__alloc_aligned(&allocator, bytes, alignments[i]);

			assert_non_null(block);
			assert_int_equal(0, (uintptr_t)block % alignments[i]);
			memset(block, 7, bytes);
			faas__free_aligned(&allocator, block, bytes, alignments[i]);
		}
	assert_null(faas__alloc_aligned(&allocator, SIZE_MAX - 100, 65536));
	faas__free(&allocator, NULL, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_random_heap_has_the_smallest_first),
		cmocka_unit_test(a_heap_gives_everything_back_in_order),
		cmocka_unit_test(a_random_map_finds_what_is_in_it),
		cmocka_unit_test(a_map_without_memory_stays_as_it_is),
		cmocka_unit_test(an_arenas_memory_does_not_overlap),
		cmocka_unit_test(an_arena_survives_refused_memory),
		cmocka_unit_test(a_list_keeps_its_order),
		cmocka_unit_test(an_array_grows_or_stays),
		cmocka_unit_test(large_aligned_blocks_come_and_go),
	};

	return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
