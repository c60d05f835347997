import { defineComponent } from "convex/server";
import { vLogLevelEnv } from "../base/log.js";

export default defineComponent("pool", { env: { LOG_LEVEL: vLogLevelEnv } });
