import assert from "node:assert/strict";
import { test } from "node:test";

import { uuidv7 } from "../dist/index.js";

test("ids are of version 7, of now, and in the order in which they were made", () => {
  const before = Date.now();
  const ids = Array.from({ length: 100_000 }, uuidv7);
  for (const id of ids) assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.deepEqual(ids, ids.toSorted());
  assert.equal(new Set(ids).size, ids.length);
  // Whoever makes more than 2,048 in a millisecond is ahead of the clock, but not far.
  const ms = (id) => parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
  assert.ok(ms(ids[0]) >= before && ms(ids.at(-1)) <= Date.now() + 100, `${before} ${ms(ids[0])} ${ms(ids.at(-1))}`);
});

test("ids are in order when the clock is set back", (t) => {
  t.mock.timers.enable({ apis: ["Date"], now: Date.now() + 60_000 });
  const first = uuidv7();
  t.mock.timers.setTime(Date.now() - 30_000);
  assert.ok(uuidv7() > first);
});
