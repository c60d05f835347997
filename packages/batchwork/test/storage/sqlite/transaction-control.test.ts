import { expect, test } from "vitest";

import { transactionControl } from "../../../src/storage/sqlite/transaction-control.ts";

test.each([
  ["COMMIT", "COMMIT"],
  ["  -- end of it\n commit", "COMMIT"],
  ["/* BEGIN */ Rollback TO s", "ROLLBACK"],
  ["INSERT INTO t VALUES (1); END", "END"],
  [";;RELEASE s", "RELEASE"],
  ["SELECT ';' ; SAVEPOINT s", "SAVEPOINT"],
  ["CREATE TRIGGER a AFTER INSERT ON t BEGIN SELECT 1; END; COMMIT", "COMMIT"],
  ["create temp trigger a after insert on t begin select 1; end; begin", "BEGIN"],
])("%j is found out", (sql, word) => {
  expect(transactionControl(sql)).toBe(word);
});

test.each([
  "",
  "SELECT 1",
  "SELECT 'COMMIT; COMMIT'",
  'SELECT "a;" AS "COMMIT"',
  "SELECT [; COMMIT] FROM `; END`",
  "SELECT CASE WHEN 1 THEN 2 END",
  "SELECT 'it''s; COMMIT'",
  "-- ; COMMIT",
  "/* ; COMMIT */ SELECT 1",
  "INSERT OR ROLLBACK INTO t VALUES (1)",
  "CREATE TRIGGER a AFTER INSERT ON t BEGIN UPDATE t SET n = 1; DELETE FROM u; END",
  "CREATE TEMPORARY TRIGGER a AFTER INSERT ON t BEGIN SELECT CASE 1 WHEN 1 THEN 2 END; END; SELECT 1",
  "UPDATE commits SET release = 1, begin_at = 2",
])("%j is left alone", (sql) => {
  expect(transactionControl(sql)).toBeNull();
});
