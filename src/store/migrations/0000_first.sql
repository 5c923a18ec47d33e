CREATE SCHEMA IF NOT EXISTS "sallyport";
--> statement-breakpoint
CREATE TABLE "sallyport"."instances" (
	"id" text COLLATE "C" PRIMARY KEY NOT NULL,
	"started_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"seen_at" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "sallyport"."reviews" (
	"id" text COLLATE "C" PRIMARY KEY NOT NULL,
	"version" integer NOT NULL,
	"state" text NOT NULL,
	"session_id" text NOT NULL,
	"issuer" text NOT NULL,
	"subject" text NOT NULL,
	"addressees" text[] NOT NULL,
	"digest" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL,
	"stepped_at" timestamp (3) with time zone NOT NULL,
	"end_reason" json NOT NULL,
	"answers" json NOT NULL,
	"body" json NOT NULL,
	"changed_at" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "sallyport"."sessions" (
	"id" text COLLATE "C" PRIMARY KEY NOT NULL,
	"instance" text COLLATE "C" NOT NULL,
	"issuer" text NOT NULL,
	"subject" text NOT NULL,
	"identity" jsonb NOT NULL,
	"actor" jsonb NOT NULL,
	"target" jsonb NOT NULL,
	"target_name" text NOT NULL,
	"level" text NOT NULL,
	"token_id" text NOT NULL,
	"protocol" text NOT NULL,
	"client" json NOT NULL,
	"started_at" timestamp (3) with time zone NOT NULL,
	"killed_by" text,
	"kill_reason" text,
	"ended_at" timestamp (3) with time zone,
	"end_reason" text,
	"operations" bigint DEFAULT 0 NOT NULL,
	"denied" bigint DEFAULT 0 NOT NULL,
	"rows_returned" bigint DEFAULT 0 NOT NULL,
	"bytes_returned" bigint DEFAULT 0 NOT NULL,
	"recording_digest" "bytea",
	"changed_at" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "sallyport"."settings" (
	"name" text PRIMARY KEY NOT NULL,
	"value" "bytea" NOT NULL
);
--> statement-breakpoint
CREATE TABLE "sallyport"."tokens" (
	"id" text COLLATE "C" PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"identity" jsonb NOT NULL,
	"actor" jsonb NOT NULL,
	"targets" text[],
	"level_cap" text NOT NULL,
	"salt" "bytea" NOT NULL,
	"iterations" integer NOT NULL,
	"stored_key" "bytea" NOT NULL,
	"server_key" "bytea" NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"created_by" text NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL,
	"revoked_at" timestamp (3) with time zone,
	"revoked_by" text,
	"last_used_at" timestamp (3) with time zone,
	"changed_at" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE INDEX "reviews_pending" ON "sallyport"."reviews" USING btree ("issuer","subject") WHERE "sallyport"."reviews"."state" = 'pending';--> statement-breakpoint
CREATE INDEX "reviews_open" ON "sallyport"."reviews" USING btree ("expires_at") WHERE "sallyport"."reviews"."state" in ('pending', 'approved');--> statement-breakpoint
CREATE INDEX "reviews_created" ON "sallyport"."reviews" USING btree ("created_at","id");--> statement-breakpoint
CREATE INDEX "reviews_changed" ON "sallyport"."reviews" USING btree ("changed_at");--> statement-breakpoint
CREATE INDEX "sessions_open" ON "sallyport"."sessions" USING btree ("issuer","subject") WHERE "sallyport"."sessions"."ended_at" is null;--> statement-breakpoint
CREATE INDEX "sessions_instance" ON "sallyport"."sessions" USING btree ("instance") WHERE "sallyport"."sessions"."ended_at" is null;--> statement-breakpoint
CREATE INDEX "sessions_owner" ON "sallyport"."sessions" USING btree ("issuer","subject","id");--> statement-breakpoint
CREATE INDEX "sessions_changed" ON "sallyport"."sessions" USING btree ("changed_at");--> statement-breakpoint
CREATE INDEX "tokens_changed" ON "sallyport"."tokens" USING btree ("changed_at");--> statement-breakpoint
CREATE INDEX "tokens_owner" ON "sallyport"."tokens" USING btree (("identity"->>'issuer'),("identity"->>'subject'));