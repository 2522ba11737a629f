"""Where a study is kept, and how its workers share it: a file on one disk, or a database for several machines."""
