"""Attacks on `tracehound sql`: nothing but the store's tables is read, nothing is changed, nothing grows without end."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from tests.store.build import span
from tracer.errors import BadInput
from tracer.store import query, reads
from tracer.store.database import Store
from tracer.store.segment import SegmentWriter

SECRET = "the secret in the file"

ATTACKS = """
    -- files by table function, wherever a query may stand
    SELECT * FROM read_text('{file}')
    SELECT (SELECT content FROM read_text('{file}'))
    SELECT 1 WHERE EXISTS (FROM read_csv('{file}'))
    WITH x AS MATERIALIZED (FROM read_blob('{file}')) FROM x
    SELECT list_transform([1], lambda x: (SELECT content FROM read_text('{file}')))
    UNPIVOT (FROM read_csv('{file}')) ON column0
    PIVOT (FROM read_csv('{file}')) ON column0
    SUMMARIZE (FROM read_csv('{file}'))
    DESCRIBE SELECT * FROM read_csv('{file}')
    EXPLAIN ANALYZE SELECT * FROM read_csv('{file}')
    SELECT * FROM spans UNION ALL FROM read_csv('{file}')
    SELECT * FROM spans, LATERAL (FROM read_text('{file}'))
    SELECT * FROM sniff_csv('{file}')
    SELECT * FROM parquet_metadata('{file}')
    SELECT * FROM read_json_auto('{file}')
    SELECT * FROM glob('/*')
    -- files by name
    SELECT * FROM '{file}'
    SELECT * FROM "{file}"
    SUMMARIZE '{file}'
    -- the database's own files, which the engine may open
    SELECT * FROM read_blob('{store}')
    SELECT * FROM read_text('{store}.wal')
    SELECT * FROM read_csv('{store}.tmp/x')
    -- functions that run text or take settings
    SELECT * FROM query('DELETE FROM spans')
    SELECT * FROM query_table('spans')
    SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))
    SELECT query('select 1')
    SELECT getenv('HOME')
    SELECT * FROM duckdb_secrets()
    SELECT * FROM checkpoint()
    SELECT * FROM enable_logging()
    -- the network
    SELECT * FROM read_parquet('s3://a/b')
    SELECT * FROM 'http://127.0.0.1:1/x.csv'
    -- Python
    SELECT * FROM frame
    SELECT * FROM pandas_scan(1)
    SELECT * FROM arrow_scan(1, 2, 3)
    -- statements that do not read
    ATTACH '{file}' AS other
    DETACH store
    USE memory
    COPY spans TO '{out}'
    COPY (SELECT 1) TO '{store}.tmp/out.csv'
    EXPORT DATABASE '{out}'
    IMPORT DATABASE '{out}'
    INSTALL httpfs
    LOAD '{file}'
    UPDATE EXTENSIONS
    PRAGMA enable_external_access
    CALL pragma_version()
    SET enable_external_access = true
    SET memory_limit = '100GB'
    SET VARIABLE x = 1
    RESET lock_configuration
    CREATE SECRET x (TYPE s3)
    CREATE TABLE x AS SELECT 1
    CREATE MACRO x() AS 1
    PREPARE x AS SELECT 1
    EXECUTE x
    VACUUM
    CHECKPOINT
    BEGIN
    DELETE FROM spans
    MERGE INTO marks USING spans ON TRUE WHEN MATCHED THEN DELETE
    WITH gone AS (DELETE FROM spans RETURNING *) FROM gone
    EXPLAIN ANALYZE DELETE FROM spans
    SELECT 1; DELETE FROM spans
    COMMIT; DELETE FROM spans
    -- what would fill the memory or the disk
    SELECT list(range) FROM range(3000000000)
    SELECT string_agg(repeat('x', 1000000), '') FROM range(100000)
    SELECT repeat('x', 1000000000000)
"""


@pytest.fixture
def store(empty_store: Store) -> Store:
    writer = SegmentWriter(empty_store.path)
    writer.write_spans([span(1)])
    writer.close()
    empty_store.fold()
    return empty_store


@pytest.mark.slow
def test_every_attack_is_refused(store: Store, tmp_path: Path) -> None:
    """With a sentence; no answer, no change, no file, and the store is free afterwards."""
    file = tmp_path / "secret.csv"
    file.write_text(f"a\n{SECRET}\n")
    frame = reads.runs(store)
    attacks = [line.strip() for line in ATTACKS.splitlines() if line.strip() and not line.strip().startswith("--")]
    assert len(attacks) > 60
    answered: list[str] = []
    for attack in attacks:
        text = attack.format(file=file, store=store.path, out=tmp_path / "out")
        try:
            answered.append(f"{text}: {reads.sql(store, text, timeout_s=10)}")
        except BadInput as error:
            if SECRET in str(error):
                answered.append(f"{text}: {error}")
    assert answered == []
    assert {path.name for path in tmp_path.iterdir()} <= {
        "secret.csv",
        "traces.duckdb",
        "traces.spool",
        "traces.duckdb.tmp",
    }
    assert list(tmp_path.glob("traces.duckdb.tmp/*")) == []
    assert reads.runs(store).equals(frame)


@pytest.mark.slow
def test_answers_of_any_type_come_back(store: Store) -> None:
    """Nested values and such as have no common type, too."""
    assert reads.sql(store, "SELECT * FROM duckdb_settings()").height > 50
    assert (
        reads.sql(store, "SELECT {'a': [1, 2]} AS s, [[1], []] AS l, 1::HUGEINT AS h, DATE '2026-01-01' AS d").height
        == 1
    )


def test_an_answer_without_end_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says how many rows are too many."""
    monkeypatch.setattr(query, "MAX_ROWS", 10)
    assert reads.sql(store, "FROM range(10)").height == 10
    with pytest.raises(BadInput, match="more than 10 rows"):
        reads.sql(store, "FROM range(11)")


@pytest.mark.slow
def test_a_query_has_an_engine_of_its_own(store: Store) -> None:
    """Its limits are not those of the threads that read beside it, before and after."""
    limits: list[str] = []
    asked = "SELECT current_setting('memory_limit')"

    def others() -> None:
        with store.lease() as con:
            limits.append(con.execute(asked).fetchall()[0][0])

    others()
    thread = threading.Thread(target=others)
    thread.start()
    fenced = reads.sql(store, asked).item()
    thread.join()
    others()
    assert fenced == "953.6 MiB"
    assert set(limits) == {limits[0]} != {fenced}
    assert os.path.exists(store.path)
