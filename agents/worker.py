"""The Faust app of the agents: `faust -A agents worker`."""

from agents import calls, tenants
from pipeline.app import make_app
from pipeline.settings import load
from pipeline.topics import AGENTS_APP

settings = load()
app = make_app(AGENTS_APP, health_port=settings.health.agents_port)
calls.install(app, settings)
tenants.install(app, settings)
