"""Made-up traffic of Resource Managers, Media Control Platforms and a Call Control Platform, as close to the real thing as reports need.

`world` is who calls whom, `legs` what one call does, `traffic` many calls on a simulated clock, `live` the same by the clock on the wall.
"""
