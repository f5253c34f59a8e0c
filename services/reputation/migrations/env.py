from services.reputation.models import Base
from shared.db.migrate import run

run(Base.metadata)
