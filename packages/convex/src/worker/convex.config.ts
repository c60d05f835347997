import { defineComponent } from "convex/server";
import { vLogLevelEnv } from "../base/log.js";

export default defineComponent("worker", { env: { LOG_LEVEL: vLogLevelEnv } });
