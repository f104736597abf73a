"""A small labelled set of synthetic clips, made on the spot, to try everything on."""

from mocrop_prep.demo.write import ActorBox, DemoClip, make_demo, plan_demo, write_boxes, write_clip

__all__ = ["ActorBox", "DemoClip", "make_demo", "plan_demo", "write_boxes", "write_clip"]
