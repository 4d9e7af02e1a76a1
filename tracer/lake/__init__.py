"""A lake: stored runs as Parquet files in a folder or a bucket, for more than one machine and for other tools.

    LAKE/_lake.json                                              layout and number of buckets
    LAKE/<table>/day=YYYY-MM-DD/bucket=NN/<time>-<writer>.parquet   spans, events, links, contents, marks, traces

The day is that of the run's start (UTC), the bucket a hash of its run id, so that a run lies whole in one partition. Files are
never changed. What one writer ships at once to one partition is a part: files of one name in the folders of the tables. Its file
under `traces` is written last; a part without it does not exist. A run may come in several parts (spans arrived late, or two
machines recorded it): whoever reads takes every span once, the newest version of it.
"""
