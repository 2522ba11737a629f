"""A study in a database, whose workers may run on several machines.

A killed worker leaves nothing behind that another machine could see. So each worker records a heartbeat for its trial.
After a long silence the trial counts as abandoned, and later reports of its worker are left out. The clock is the
database's.

Optuna's own retry of silent trials does not fit (optuna 5). It serves `Study.optimize` only. It overlooks a worker that
was killed before its first heartbeat, and a second kill between its two steps loses the trial.
"""

import time
import uuid
from contextlib import AbstractContextManager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import optuna
from optuna.exceptions import OptunaError
from optuna.storages import RDBStorage
from optuna.storages._rdb.models import StudyModel, TrialHeartbeatModel, TrialModel, VersionInfoModel
from optuna.trial import TrialState
from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool
from typing_extensions import override

from mm_lightning import UserError
from mm_lightning.files import write_atomically
from mm_lightning.sweep.storage.store import LOCK_TIMEOUT_SECONDS, Store, make_study_folder, reason_of
from mm_lightning.sweep.storage.url import shown

HEARTBEAT_SECONDS = 10.0
SILENCE_SECONDS = 60.0  # after which a worker counts as killed
_LAST_BEAT_SECONDS = 5.0  # a heartbeat takes longer only where the database has vanished
_ID_KEY = "id"  # attribute of the study: which of all studies of this name; a new key loses the value in old studies
_ATTEMPTS = 5  # to make the tables: one of several workers that try at once succeeds, and its tables serve all
_LIBPQ = {  # arguments of PostgreSQL's client: a machine that has vanished is noticed within a minute
    "connect_timeout": 10,
    "keepalives_idle": 20,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 50_000,  # milliseconds
}
_SESSION = (  # settings of a session; the time zone, as Optuna stores the session's local time
    f"-c timezone=UTC -c lock_timeout={LOCK_TIMEOUT_SECONDS}s "
    "-c tcp_keepalives_idle=20 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3"
)


class DatabaseStore(Store):
    """A database that Optuna's RDBStorage can use.

    Args:
        folder: Folder of this worker's results.
        url: URL of the database.
        study_name: Name of the study.

    Raises:
        UserError: If the database cannot be used, or the folder belongs to a study in a file.
    """

    abandonment = "its worker gives no sign of life"
    removal = "remove it by optuna delete-study"

    def __init__(self, folder: Path, url: URL, study_name: str) -> None:
        super().__init__(folder, "a database")
        self.storage = self._database = _open(url)
        self.lock = _RowLock(self._database.engine)
        self._place = shown(url)
        self._name = study_name
        self._hearts: dict[int, _Heart] = {}
        make_study_folder(folder)

    @property
    @override
    def place(self) -> str:
        return self._place

    @override
    def remedy(self) -> str:
        return "see that the database runs"

    @override
    def claim(self, number: int) -> None:
        study_id = self._database.get_study_id_from_name(self._name)
        self._hearts[number] = _Heart(
            self._database, self._database.get_trial_id_from_study_id_trial_number(study_id, number)
        )

    @override
    def release(self, number: int) -> None:
        if heart := self._hearts.pop(number, None):
            heart.stop()

    @override
    def abandoned(self, running: list[int]) -> list[int]:
        with self._database.engine.connect() as connection:
            now = connection.execute(select(func.current_timestamp())).scalar_one().replace(tzinfo=None)
        oldest = now - timedelta(seconds=SILENCE_SECONDS)
        # without a heartbeat: killed between making and claiming the trial, which one holder of the lock does
        return [n for n, beat in self.heartbeats().items() if n in running and (beat is None or beat < oldest)]

    @override
    def heartbeats(self) -> dict[int, datetime | None]:
        query = (
            select(TrialModel.number, TrialHeartbeatModel.heartbeat)
            .join(StudyModel, StudyModel.study_id == TrialModel.study_id)
            .outerjoin(TrialHeartbeatModel, TrialHeartbeatModel.trial_id == TrialModel.trial_id)
            .where(StudyModel.study_name == self._name, TrialModel.state == TrialState.RUNNING)
        )
        with self._database.engine.connect() as connection:
            return dict(connection.execute(query).all())

    @override
    def bind(self, study: optuna.Study) -> None:
        if _ID_KEY not in study.user_attrs:
            study.set_user_attr(_ID_KEY, str(uuid.uuid4()))
        own = study.user_attrs[_ID_KEY]
        with self.folder_lock:
            if not self._file.exists():
                with write_atomically(self._file, f"sweep {self._name}") as file:
                    file.write(own.encode())
            if self._file.read_text(encoding="utf-8", errors="replace") != own:
                raise UserError(
                    f"{self._folder} holds the results of another study than {self._name} in {self.place}; remove the "
                    "folder, or give the search a --name of its own"
                )

    @override
    def close(self) -> None:
        for number in list(self._hearts):
            self.release(number)
        self._database.engine.dispose()


class _RowLock(AbstractContextManager["_RowLock"]):
    """Lock of a row that every Optuna database has once; the database releases it when the connection ends.

    Each study of a database waits for the others, a few hundredths of a second.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        self._depth = 0

    @override
    def __enter__(self) -> "_RowLock":
        if self._depth == 0:
            connection = self._engine.connect()
            try:
                connection.execute(select(VersionInfoModel.version_info_id).with_for_update())
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        self._depth += 1
        return self

    @override
    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            assert self._connection is not None
            self._connection.close()


class _Heart:
    """Heartbeats of a trial, until `stop`.

    Args:
        storage: The database.
        trial_id: Number of the trial among all of the database.
    """

    def __init__(self, storage: RDBStorage, trial_id: int) -> None:
        storage.record_heartbeat(trial_id)
        self._storage = storage
        self._trial_id = trial_id
        self._end = Event()
        self._thread = Thread(target=self._beat, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the heartbeats, and wait for one that is under way: closing the database would leave its connection."""
        self._end.set()
        self._thread.join(_LAST_BEAT_SECONDS)

    def _beat(self) -> None:
        while not self._end.wait(HEARTBEAT_SECONDS):
            with suppress(OptunaError, SQLAlchemyError):  # the next report meets the same error, in the main thread
                self._storage.record_heartbeat(self._trial_id)
        self._storage.remove_session()


def _open(url: URL) -> RDBStorage:
    """Open a database, and make Optuna's tables where there are none.

    Raises:
        UserError: If the driver is missing, or the database cannot be used.
    """
    text, connect_args = url.render_as_string(hide_password=False), _connect_args(url)
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            RDBStorage(text, {"poolclass": NullPool, "connect_args": connect_args})  # a failure leaves no connection
            return RDBStorage(text, {"pool_pre_ping": True, "connect_args": connect_args})
        except ImportError as error:
            raise _missing_driver(url, error) from None
        except NoSuchModuleError:
            known = "give postgresql, or another that SQLAlchemy knows"
            raise UserError(f"storage: {url.drivername} is the name of no database; {known}") from None
        except (SQLAlchemyError, OptunaError, RuntimeError) as error:
            if attempt == _ATTEMPTS or not (_has_statement(error) or _has_statement(error.__cause__)):
                remedy = "check the URL, and that the database runs"
                raise UserError(f"storage: {shown(url)} cannot be used ({reason_of(error)}); {remedy}") from None
        time.sleep(0.2 * attempt)
    raise AssertionError("the last attempt returns or raises")


def _has_statement(error: BaseException | None) -> bool:
    """Whether a statement of SQL caused the error, and not the connection."""
    return isinstance(error, DBAPIError) and error.statement is not None


def _connect_args(url: URL) -> dict[str, Any]:
    """Arguments for PostgreSQL's client; those of the URL have precedence."""
    if url.drivername not in ("postgresql+psycopg", "postgresql+psycopg2"):
        return {}
    result: dict[str, Any] = {key: value for key, value in _LIBPQ.items() if key not in url.query}
    own = url.query.get("options", "")
    return {**result, "options": f"{_SESSION} {own if isinstance(own, str) else ' '.join(own)}"}


def _missing_driver(url: URL, error: ImportError) -> UserError:
    name = getattr(error.__cause__, "name", None) or url.get_driver_name()
    remedy = f"install the Python package that has {name}"
    if name == "psycopg":
        remedy = "uv sync --extra sweep --extra postgresql, or pip install 'mm-lightning[sweep,postgresql]'"
    return UserError(f"storage: {shown(url)} needs the driver {name}, which is not installed; {remedy}")
