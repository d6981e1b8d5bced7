"""The Faust app of the agents: `faust -A agents worker`."""

from agents import calls, tenants
from pipeline import generations, logs
from pipeline.app import make_app
from pipeline.settings import load

settings = load()
logs.setup("agents")
generation, _ = generations.of_worker(settings)
app = make_app(generation.agents_app, health_port=settings.health.agents_port)
generations.stop_when_replaced(app, generation, settings)
calls.install(app, settings, generation)
tenants.install(app, settings, generation)
